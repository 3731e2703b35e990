"""Carries a checked statement out: from a resource, or from the root of the system, down to the elements selected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from fhir_server.engine.graphql.faults import Fault
from fhir_server.engine.graphql.nodes import FieldResult, Node, evaluated, root, text, whole
from fhir_server.engine.graphql.output import Output
from fhir_server.engine.graphql.places import ANY, CONNECTION, LIST, element, is_a, searched_type
from fhir_server.engine.graphql.references import referenced
from fhir_server.engine.graphql.searches import Reader, parameter_name, search_query
from fhir_server.engine.graphql.statement import Statement
from fhir_server.errors import FhirError, TooLarge
from fhir_server.work.budget import spend, together
from fhir_server.work.threads import breathe

MOST_NODES = 200_000
_TOGETHER = 100
_STEPS = 20
"""What a node or a field counts for."""

Query = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a field goes into the output: its directives, what @slice adds to its name, whether @flatten collates it."""

    suffix: str = ""
    collated: bool = False
    flat: bool = False
    single: bool = False

    def of(self, directives: frozenset[str]) -> Shape:
        """Return the shape of a field in a selection of this shape."""
        return replace(self, flat="flatten" in directives, single="singleton" in directives)

    def sliced(self, suffix: str) -> Shape:
        """Return the shape with what @slice adds."""
        return replace(self, suffix=f"{self.suffix}.{suffix}", collated=True)


class Execution:
    """One statement on its way."""

    def __init__(self, statement: Statement, reader: Reader) -> None:
        self._statement = statement
        self._reader = reader
        self._left = MOST_NODES
        self._room = reader.context.services.settings.max_answer_bytes

    async def run(self, resource: Any | None) -> dict[str, Any]:
        """Return the data that the statement asks of a resource, or without one of the system."""
        output = Output()
        start = None if resource is None else root(resource)
        await self._select(start, self._statement.operation.selection_set, output, Shape())
        return output.fields

    async def _select(self, node: Node | None, selections: SelectionSetNode, output: Output, shape: Shape) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"The answer has more than {MOST_NODES} objects.", code="too-costly")
        spend(_STEPS)
        await breathe()
        for field in self._fields(node, selections):
            spend(_STEPS)
            try:
                await self._field(node, field, output, shape)
            except FhirError as error:
                if getattr(error, "node", None) is None:
                    error.node = field  # type: ignore[attr-defined]  # where in the statement it happened
                raise

    def _fields(self, node: Node | None, selections: SelectionSetNode) -> Iterator[FieldNode]:
        """Yield the fields to select of a node, those of its fragments in their place."""
        for each in selections.selections:
            if not self._statement.includes(each):
                continue
            if isinstance(each, FieldNode):
                yield each
                continue
            assert isinstance(each, InlineFragmentNode | FragmentSpreadNode)
            fragment = self._statement.fragments[each.name.value] if isinstance(each, FragmentSpreadNode) else each
            condition = fragment.type_condition
            if condition is None or node is None or is_a(node.type, condition.name.value):
                yield from self._fields(node, fragment.selection_set)

    # --- Into the output -----------------------------------------------------------------------------------------

    async def _field(self, node: Node | None, field: FieldNode, output: Output, around: Shape) -> None:
        result = await self._find(node, field)
        if result is None:
            return
        directives = {each.name.value: each for each in field.directives or ()}
        if "first" in directives:
            result = FieldResult(result.nodes[:1], result.many)
        shape = around.of(frozenset(directives))
        if "slice" not in directives:
            await self._give(result, field, output, shape)
            return
        path = str(self._statement.arguments(directives["slice"])["path"])
        for position, each in enumerate(result.nodes):
            suffix = await evaluated(_slice, path, each, position)
            await self._give(FieldResult([each], result.many), field, output, shape.sliced(suffix))

    async def _give(self, result: FieldResult, field: FieldNode, output: Output, shape: Shape) -> None:
        if shape.flat and field.selection_set is not None:
            inner = Shape(shape.suffix, shape.collated or result.many)
            for each in result.nodes:
                await self._select(each, field.selection_set, output, inner)
            return
        values = await self._values(result.nodes, field)
        name = (field.alias or field.name).value + shape.suffix
        if shape.collated:
            output.collate(name, values, result.nodes[0].type if result.nodes else "", field, single=shape.single)
        elif result.many and not shape.single:
            output.put(name, values, field)
        elif len(values) > 1:
            raise Fault(f"@singleton: there is more than one {name}.", field, "business-rule")
        elif values:
            output.put(name, values[0], field)

    async def _values(self, nodes: list[Node], field: FieldNode) -> list[Any]:
        selections = field.selection_set
        if selections is None:
            self._count(nodes)
            return [each.value for each in nodes]
        values: list[Any] = []
        for start in range(0, len(nodes), _TOGETHER):
            # At once, so that what they refer to is read together.
            some = nodes[start : start + _TOGETHER]
            values += await together(*(self._object(each, selections) for each in some))
        return values

    def _count(self, nodes: list[Node]) -> None:
        """Count what goes into the answer; raises TooLarge."""
        self._room -= sum(len(each.value) if isinstance(each.value, str) else 8 for each in nodes)
        if self._room < 0:
            raise TooLarge("The answer is larger than an answer may be (max_answer_bytes).", code="too-costly")

    async def _object(self, node: Node, selections: SelectionSetNode) -> dict[str, Any]:
        output = Output()
        await self._select(node, selections, output, Shape())
        return output.fields

    # --- What a field finds --------------------------------------------------------------------------------------

    async def _find(self, node: Node | None, field: FieldNode) -> FieldResult | None:
        name, arguments = field.name.value, self._statement.arguments(field)
        if name == "__typename" or (name == "resourceType" and node is not None):
            return FieldResult([Node("string", "Query" if node is None else node.type, None)], False)
        if node is None:
            if name in ANY:
                return FieldResult([root(await self._reader.read(name, str(arguments["id"])))], False)
            return await self._search(field, arguments, [])
        if element(node.type, name) is not None:
            return await evaluated(node.below, name, arguments)
        if name == "resource" and node.type == "Reference":
            target = await referenced(self._reader, node, arguments)
            return None if target is None else FieldResult([target], False)
        return await self._referring(node, field, arguments) if node.is_root else None

    async def _referring(self, node: Node, field: FieldNode, arguments: dict[str, Any]) -> FieldResult | None:
        """Return what refers to a resource by the parameter `_reference`; None for another type's element."""
        name = field.name.value
        resource_type = searched_type(name, CONNECTION) or searched_type(name, LIST)
        if resource_type is None or "_reference" not in arguments:
            return None
        by = parameter_name(resource_type, str(arguments["_reference"]))
        if by is None:
            raise Fault(
                f"{resource_type} has no search parameter {str(arguments['_reference'])[:60]}.", field, "not-supported"
            )
        return await self._search(field, arguments, [(by, f"{node.type}/{node.value['id']}")])

    async def _search(self, field: FieldNode, arguments: dict[str, Any], query: Query) -> FieldResult:
        name, expression = field.name.value, arguments.get("fhirpath")
        connected = searched_type(name, CONNECTION)
        query = [*query, *search_query(connected or name.removesuffix(LIST), arguments)]
        if connected is None:
            nodes = [root(each) for each in await self._list(name.removesuffix(LIST), query, arguments)]
            return FieldResult(nodes if expression is None else await _holding(nodes, expression), True)
        connection = await self._reader.connection(
            connected, query, arguments.get("_cursor"), counted=self._asks(field, "count")
        )
        if expression is not None:
            nodes = [root(each["resource"]) for each in connection["edges"]]
            kept = {id(each.value) for each in await _holding(nodes, expression)}
            connection["edges"] = [each for each in connection["edges"] if id(each["resource"]) in kept]
        return FieldResult([Node(name, connection, None)], False)

    async def _list(self, resource_type: str, query: Query, arguments: dict[str, Any]) -> list[Any]:
        if "_count" not in arguments and "_offset" not in arguments:
            return await self._reader.all(resource_type, query)
        limit = self._reader.context.services.settings.max_page_size
        count, offset = whole(arguments.get("_count", limit)), whole(arguments.get("_offset", 0))
        uncounted = [pair for pair in query if pair[0] != "_count"]
        return await self._reader.some(resource_type, uncounted, count, offset)

    def _asks(self, field: FieldNode, name: str) -> bool:
        assert field.selection_set is not None
        return any(each.name.value == name for each in self._fields(None, field.selection_set))


async def _holding(nodes: list[Node], expression: str) -> list[Node]:
    """Return the nodes on which an expression is true: each is cheap or goes to a thread, but all together are not."""
    kept = []
    for each in nodes:
        if await evaluated(each.holds, expression):
            kept.append(each)
        await breathe()
    return kept


def _slice(path: str, node: Node, position: int) -> str:
    if path == "$index":
        return str(position)
    return ".".join(text(item.value) for item in node.items(path))
