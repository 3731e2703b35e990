"""$validate: would this resource be taken? https://hl7.org/fhir/R4/resource-operation-validate.html."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.preconditions import require_match
from fhir_server.engine.interactions.read import read
from fhir_server.engine.interactions.update import require_same_id
from fhir_server.engine.link_targets import require_own_targets
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.profiles.checking import Targets, is_known, issues_of, profile_faults
from fhir_server.engine.routes import Route
from fhir_server.engine.transaction.references import places_of
from fhir_server.errors import BadRequest, FhirError, Issue, operation_outcome
from fhir_server.r4 import values
from fhir_server.r4.references import conditional
from fhir_server.work.threads import sized

_MODES = ("create", "update", "delete", "profile")
_FAULTS = frozenset({"error", "fatal"})


async def validate(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer 200 with an OperationOutcome, whatever it says; raises BadRequest where the question itself is wrong."""
    mode, resource, profile = inputs.one("mode"), inputs.one("resource"), inputs.one("profile")
    _require_mode(mode, route)
    if mode == "delete":
        return _answer(await _deletion(context, request, route))
    if mode == "profile" and (profile is None or resource is not None):
        raise BadRequest("Mode profile checks what is stored under the id of the URL against the parameter profile.")
    if resource is None:
        resource = await _stored(context, route)
    issues = await sized(request.size, partial(versions.faults, warnings=True), context, resource)
    if route.type is not None:
        issues += _caught(lambda: _require_type(resource, route.type or ""))
    if not _faulty(issues):
        # What is not valid R4 has no form that a profile could be held against.
        issues += await _profiled(context, resource, profile)
    if mode is None:
        issues += await sized(request.size, _conditional_references, resource)
    elif mode != "profile":
        resource_type = route.type or str(resource.get("resourceType"))
        issues += _caught(lambda: context.access.require(mode, resource_type))
        if not _faulty(issues):
            # Only what is valid has an index entry, by which it is admitted.
            issues += await _admission(context, route, resource, mode)
    if mode == "update":
        issues += await _update(context, request, route, resource)
    return _answer(issues)


async def _stored(context: Context, route: Route) -> dict[str, Any]:
    if route.id is None:
        raise BadRequest("$validate needs the parameter resource, or the id of what is stored.", code="required")
    context.access.require("read", route.type)
    answer = await read(context, Request("GET", f"{route.type}/{route.id}"), route.type or "", route.id or "")
    stored: dict[str, Any] = values.decode(answer.json or b"{}")
    return stored


async def _profiled(context: Context, resource: dict[str, Any], profile: str | None) -> list[Issue]:
    """Return what the resource breaks of `profile`, of those that it claims and must meet, and of R4's own warnings."""
    root = str(resource["resourceType"])
    profiles = [profile] if profile is not None else []
    issues = []
    if profile is not None and not await is_known(context, profile):
        text = f"The profile {profile[:300]} is not known to this server: install the package that has it, or store it."
        issues.append(Issue("not-found", text))
        profiles = []
    profiles += context.services.settings.profiles_required.get(root, ())
    faults = await profile_faults(context, resource, profiles=profiles, everything=True, targets=Targets(context))
    return issues + issues_of(faults, root)


def _require_mode(mode: str | None, route: Route) -> None:
    if mode not in (None, *_MODES):
        raise BadRequest(f"The parameter mode is one of {', '.join(_MODES)}, not {mode[:40]!r}.", code="value")
    if mode in ("update", "delete", "profile") and route.id is None:
        named = route.type or "[type]"
        raise BadRequest(f"Mode {mode} is about one resource: ask {named}/[id]/$validate.")


def _require_type(resource: dict[str, Any], resource_type: str) -> None:
    if resource.get("resourceType") != resource_type:
        raise BadRequest(f"The URL asks for a {resource_type}.", expression="resourceType")


def _conditional_references(resource: dict[str, Any]) -> list[Issue]:
    """Return a warning for each conditional reference that nothing will resolve; with a mode it is an error."""
    if resource.get("resourceType") == "Bundle" and resource.get("type") == "transaction":
        return []
    return [
        Issue(
            "value",
            f"The conditional reference {text[:200]!r} can stand in a transaction only, which resolves it.",
            (f"{resource.get('resourceType')}{place}",),
            "warning",
        )
        for text, place in places_of(resource)
        if conditional(text) is not None
    ]


async def _admission(context: Context, route: Route, resource: dict[str, Any], mode: str) -> list[Issue]:
    """Return what forbids the caller to store the resource."""
    resource_id, current = route.id or versions.new_id(), None
    if mode == "update":
        try:
            current = await writes.read_current(context, route.type or "", resource_id)
        except FhirError:
            return []  # `_update` tells it
    try:
        method = "POST" if mode == "create" else "PUT"
        size = len(values.encode(resource))
        made = await sized(size, versions.draft, context, resource, resource_id, method, current)
        change = writes.change_of(made, current)
        context.access.admit(change)
        await require_own_targets(context, [change])
    except FhirError as error:
        return list(error.issues)
    return []


async def _update(context: Context, request: Request, route: Route, resource: dict[str, Any]) -> list[Issue]:
    resource_type, resource_id = route.type or "", route.id or ""
    issues = _caught(lambda: versions.require_id(resource_id))
    issues += _caught(lambda: require_same_id(resource, resource_id, f"{resource_type}/{resource_id}"))
    try:
        require_match(request, await writes.read_current(context, resource_type, resource_id))
    except FhirError as error:
        issues += error.issues
    return issues


async def _deletion(context: Context, request: Request, route: Route) -> list[Issue]:
    issues = _caught(lambda: context.access.require("delete", route.type))
    url = f"{route.type}/{route.id}"
    try:
        current = await writes.read_current(context, route.type or "", route.id or "", "delete")
        require_match(request, current)
    except FhirError as error:
        return [*issues, *error.issues]
    if current is None or current.deleted:
        return [*issues, Issue("not-found", f"{url} does not exist, so a delete changes nothing.", (), "warning")]
    return issues


def _caught(check: Callable[[], None]) -> list[Issue]:
    try:
        check()
    except FhirError as error:
        return list(error.issues)
    return []


def _faulty(issues: list[Issue]) -> bool:
    return any(issue.severity in _FAULTS for issue in issues)


def _answer(issues: list[Issue]) -> Response:
    if not _faulty(issues):
        issues = [*issues, Issue("informational", "No fault was found.", (), "information")]
    return Response(200, values.encode(operation_outcome(issues)))
