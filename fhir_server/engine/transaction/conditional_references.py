"""Conditional references of a transaction: "Patient?identifier=sys|1" becomes "Patient/7".

They are resolved as of after the transaction's writes, so one may mean a resource of the same bundle.
https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhir_server.engine.context import Context
from fhir_server.engine.interactions.conditional import criteria, find_all
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.query.ast import Query
from fhir_server.search.query.match import matches

_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)

Written = Mapping[tuple[str, str], dict[str, Any] | None]
"""What the transaction makes of each resource that it writes, by type and id; None where it deletes it."""


async def resolve(context: Context, reference: str, written: Written) -> str | None:
    """Return the reference that a conditional one stands for; None for one that is not conditional.

    Raises PreconditionFailed where it finds no resource or several: the transaction then fails.
    """
    match = _CONDITIONAL.fullmatch(reference)
    if match is None or match[1] not in RESOURCE_TYPES:
        return None
    query = criteria(context, match[1], match[2])
    own = {key[1] for key in written if key[0] == match[1]}
    found = await find_all(context, query, 2 + len(own))
    ids = {resource_id for resource_id in found if resource_id not in own} | _written_matches(context, query, written)
    if len(ids) != 1:
        raise PreconditionFailed(
            f"The conditional reference {reference[:200]} finds {'several resources' if ids else 'no resource'}."
        )
    return f"{match[1]}/{ids.pop()}"


def _written_matches(context: Context, query: Query, written: Written) -> set[str]:
    timezone = context.services.settings.default_timezone
    try:
        return _matching(query, written, timezone, context.base_url)
    except ValueError as error:
        raise BadRequest(
            f"A conditional reference to {query.types[0]} can have no chain or value set where the transaction"
            " writes such resources itself.",
            code="not-supported",
        ) from error


def _matching(query: Query, written: Written, timezone: str, base_url: str) -> set[str]:
    return {
        resource_id
        for (resource_type, resource_id), resource in written.items()
        if resource_type == query.types[0]
        and resource is not None
        and matches(query, resource | {"id": resource_id}, timezone=timezone, base_url=base_url)
    }
