"""What a patient's report leads to must be the patient's own, or nobody's: the right to it is decided when it is named.

Otherwise the report would lead whoever follows it (a document's download, an include, an export) to another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fhir_server.auth.permission.patient_writes import Change
from fhir_server.engine.context import Context
from fhir_server.errors import Forbidden, Issue
from fhir_server.search.query.conditions import Condition


async def require_own_targets(context: Context, changes: Iterable[Change]) -> None:
    """Raise Forbidden where a change leads to what its writer may not lead to, the same whether it is there or not."""
    targets: dict[tuple[str, str], tuple[Condition | None, Change]] = {}
    for change in changes:
        for kind, resource_id, condition in context.access.links(change):
            targets[kind, resource_id] = (condition, change)
    issues: dict[str, list[str]] = defaultdict(list)
    for (kind, resource_id), (condition, change) in targets.items():
        target = await context.services.resources.read(kind, resource_id, where=condition, session=context.session)
        if target is None or target.deleted:
            issues[change.type].append(f"{kind}/{resource_id}")
    if issues:
        raise Forbidden(
            issues=[
                Issue("forbidden", f"{', '.join(names)}: not in the patient's own record.", (kind,))
                for kind, names in issues.items()
            ]
        )
