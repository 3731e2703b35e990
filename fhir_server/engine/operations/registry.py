"""Which operations there are: by name, the levels and types they work on, and the function that carries them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fhir_server.engine.bulk.kick_off import GROUP, PATIENT, SYSTEM, kick_off
from fhir_server.engine.bulk_import import kick_off as imports
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.operations import purge
from fhir_server.engine.operations.everything import everything
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.operations.meta import meta, meta_add, meta_delete
from fhir_server.engine.operations.validate import validate
from fhir_server.engine.routes import OPERATIONS_ONLY, Route
from fhir_server.engine.subscriptions import binding
from fhir_server.engine.subscriptions import operations as subscriptions
from fhir_server.engine.terminology import closures
from fhir_server.engine.terminology import definitions as terminology
from fhir_server.engine.terminology import operations as terms
from fhir_server.engine.terminology.capabilities import versions
from fhir_server.engine.views import definition as views
from fhir_server.engine.views.run import run as run_view
from fhir_server.errors import MethodNotAllowed, NotFound
from fhir_server.own_urls import own_url
from fhir_server.r4 import definitions
from fhir_server.work.threads import apart

Level = Literal["system", "type", "instance", "version"]
Run = Callable[[Context, Request, Route, Inputs], Awaitable[Response]]

_DEFINITIONS = "http://hl7.org/fhir/OperationDefinition/"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of this server: its published definition, the levels that are served, and what carries it out."""

    published: definitions.Operation
    run: Run
    levels: frozenset[Level]
    affects_state: bool = False
    """Stated here, because R4 leaves it out of most of its definitions."""
    paged: bool = False
    """Whether its answers have links to further pages."""
    reads_request: bool = False
    """Whether it reads the request itself, which is more than its definition's parameters."""

    @property
    def definition(self) -> str:
        """The canonical URL of its definition; a published one has it, the server's own follows from a setting."""
        return self.published.url or own_url("OperationDefinition", self.code)

    @property
    def code(self) -> str:
        """The name in the URL, without the dollar sign."""
        return self.published.code

    def on(self, resource_type: str | None) -> bool:
        """Return whether it can be asked of the type; None stands for the system."""
        if resource_type in OPERATIONS_ONLY:
            return resource_type in self.published.resource
        return resource_type is None or bool({"Resource", resource_type} & set(self.published.resource))

    def urls(self) -> str:
        """Return the forms of its URL, for a caller who missed them."""
        named = self.published.resource[0]
        base = "[type]" if named == "Resource" else named
        forms: dict[Level, str] = {"system": "", "type": f"{base}/", "instance": f"{base}/[id]/"}
        forms["version"] = f"{base}/[id]/_history/[version]/"
        return ", ".join(f"{form}${self.code}" for level, form in forms.items() if level in self.levels)


def _operation(name: str, run: Run, *levels: Level, **properties: bool) -> Operation:
    published = next(definition for definition in definitions.operations() if definition.url == _DEFINITIONS + name)
    return Operation(published, run, frozenset(levels), **properties)


def _terminology(published: definitions.Operation, run: Run, *levels: Level, affects_state: bool = False) -> Operation:
    # They read the request by themselves: a resource that comes with it is judged by the library.
    return Operation(published, run, frozenset(levels), affects_state, reads_request=True)


_graphql_once_loaded: list[Run] = []


def _load_graphql() -> None:
    from fhir_server.engine.graphql.operation import graphql  # its library is large, and few use it

    _graphql_once_loaded.append(graphql)


async def _graphql(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    if not _graphql_once_loaded:
        await apart(_load_graphql)
    return await _graphql_once_loaded[0](context, request, route, inputs)


OPERATIONS: tuple[Operation, ...] = (
    _operation("Resource-meta", meta, "system", "type", "instance", "version"),
    _operation("Resource-meta-add", meta_add, "instance", affects_state=True),
    _operation("Resource-meta-delete", meta_delete, "instance", affects_state=True),
    _operation("Resource-validate", validate, "system", "type", "instance"),
    _operation("Patient-everything", everything, "type", "instance", paged=True),
    _operation("Encounter-everything", everything, "instance", paged=True),
    Operation(purge.DEFINITION, purge.run, frozenset({"instance", "version"}), affects_state=True),
    Operation(SYSTEM, kick_off, frozenset({"system"})),
    Operation(PATIENT, kick_off, frozenset({"type"})),
    Operation(GROUP, kick_off, frozenset({"instance"})),
    Operation(imports.DEFINITION, imports.kick_off, frozenset({"system"}), affects_state=True, reads_request=True),
    _terminology(terminology.EXPAND, terms.expand, "type", "instance"),
    _terminology(terminology.VALIDATE_CODE_IN_VALUE_SET, terms.validate_in_value_set, "type", "instance"),
    _terminology(terminology.BATCH_VALIDATE_CODE, terms.batch_validate_code, "type"),
    _terminology(terminology.LOOKUP, terms.lookup, "type"),
    _terminology(terminology.VALIDATE_CODE_IN_CODE_SYSTEM, terms.validate_in_code_system, "type", "instance"),
    _terminology(terminology.SUBSUMES, terms.subsumes, "type", "instance"),
    _terminology(terminology.FIND_MATCHES, terms.find_matches, "type", "instance"),
    _terminology(terminology.TRANSLATE, terms.translate, "type", "instance"),
    _terminology(terminology.CLOSURE, closures.closure, "system", affects_state=True),
    Operation(views.RUN, run_view, frozenset({"system", "type"}), reads_request=True),
    Operation(subscriptions.STATUS, subscriptions.status, frozenset({"type", "instance"})),
    Operation(binding.BINDING_TOKEN, binding.binding_token, frozenset({"type", "instance"})),
    Operation(subscriptions.EVENTS, subscriptions.events, frozenset({"instance"})),
    _operation("CapabilityStatement-versions", versions, "system"),
    _operation("Resource-graphql", _graphql, "system", "instance", reads_request=True),
)


def find(route: Route) -> Operation:
    """Return the operation that the route names.

    Raises NotFound, which says what there is, for any other; whether R4 defines it makes no difference.
    """
    level = _level(route)
    named = [operation for operation in OPERATIONS if operation.code == route.operation]
    for operation in named:
        if operation.on(route.type) and level in operation.levels:
            return operation
    name = f"${(route.operation or '')[:60]}"
    there = "; ".join(operation.urls() for operation in named or OPERATIONS)
    if named:
        raise NotFound(f"{name} cannot be asked for here, but as {there}.", code="not-supported")
    raise NotFound(f"There is no operation {name}. There are {there}.", code="not-supported")


def require_method(operation: Operation, method: str) -> None:
    """Raise MethodNotAllowed where a GET would change something."""
    if operation.affects_state and method != "POST":
        error = MethodNotAllowed(f"${operation.code} changes what is stored, so it takes POST only.")
        error.headers["Allow"] = "POST"
        raise error


def _level(route: Route) -> Level:
    if route.version is not None:
        return "version"
    if route.id is not None:
        return "instance"
    return "system" if route.type is None else "type"
