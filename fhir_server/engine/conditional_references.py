"""Conditional references of a transaction: "Patient?identifier=sys|1" becomes "Patient/7". https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fhir_server.engine.conditional import criteria, find_all
from fhir_server.engine.context import Context
from fhir_server.engine.references import references
from fhir_server.errors import PreconditionFailed
from fhir_server.r4.definitions import RESOURCE_TYPES

_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)


async def resolve_conditional_references(context: Context, resources: Iterable[Any]) -> dict[str, str]:
    """Return, for each conditional reference in the resources, the reference it stands for.

    Raises PreconditionFailed where one finds no resource or several: the transaction then fails.
    """
    resolved: dict[str, str] = {}
    for resource in resources:
        for path, text in references(resource):
            match = _CONDITIONAL.fullmatch(text) if "?" in text and text not in resolved else None
            if match is None or match[1] not in RESOURCE_TYPES:
                continue
            ids = await find_all(context, criteria(context, match[1], match[2]), 2)
            if len(ids) != 1:
                found = "several resources" if ids else "no resource"
                raise PreconditionFailed(f"The conditional reference {text[:200]} finds {found}.", expression=path)
            resolved[text] = f"{match[1]}/{ids[0]}"
    return resolved
