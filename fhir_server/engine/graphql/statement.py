"""A GraphQL statement as it came: its text read, its operation chosen, its variables and arguments as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    GraphQLSyntaxError,
    IntValueNode,
    ListValueNode,
    NonNullTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    parse,
)

from fhir_server.engine.graphql.faults import Fault, syntax_fault
from fhir_server.r4 import values

MOST_TOKENS = 20_000


@dataclass(frozen=True, slots=True)
class Statement:
    """One operation, ready to be checked and carried out."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    _arguments: dict[int, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was read already: a field is asked for its arguments at every node."""

    def value(self, node: ValueNode) -> Any:
        """Return the JSON value that a value of the statement stands for; a name without quotes is a string."""
        match node:
            case VariableNode():
                if node.name.value not in self.variables:
                    raise Fault(f"The variable ${node.name.value} is not declared.", node)
                return self.variables[node.name.value]
            case IntValueNode():
                return int(node.value)
            case FloatValueNode():
                return values.decimal(node.value)
            case StringValueNode() | BooleanValueNode() | EnumValueNode():
                return node.value
            case ListValueNode():
                return [self.value(item) for item in node.values]
            case ObjectValueNode():
                return {field.name.value: self.value(field.value) for field in node.fields}
        return None

    def arguments(self, node: FieldNode | DirectiveNode) -> dict[str, Any]:
        """Return the arguments of a field or directive by name; one that is null counts as not there."""
        by_name = self._arguments.get(id(node))
        if by_name is None:
            by_name = {}
            for argument in node.arguments or ():
                self._add(by_name, argument)
            self._arguments[id(node)] = by_name
        return by_name

    def _add(self, by_name: dict[str, Any], argument: ArgumentNode) -> None:
        name = argument.name.value
        if name in by_name:
            raise Fault(f"The argument {name} appears twice.", argument)
        value = self.value(argument.value)
        if value is not None:
            by_name[name] = value

    def includes(self, node: SelectionNode) -> bool:
        """Return whether @skip and @include leave a selection in."""
        for directive in node.directives or ():
            name = directive.name.value
            if name in ("skip", "include"):
                condition = self.arguments(directive).get("if")
                if not isinstance(condition, bool):
                    raise Fault(f"@{name} needs the argument if: true or false.", directive)
                if condition == (name == "skip"):
                    return False
        return True


def read(text: str, operation_name: str | None, variables: Mapping[str, Any]) -> Statement:
    """Return the statement that a text makes; raises Fault or Faults."""
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
    except GraphQLSyntaxError as error:
        raise syntax_fault(error) from error
    except RecursionError as error:
        raise Fault("The statement is nested too deeply.", code="too-costly") from error
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
    if len(operations) + len(fragments) != len(document.definitions):
        raise Fault("A statement has operations and fragments, and no type definitions.", code="not-supported")
    operation = _chosen(operations, operation_name)
    return Statement(operation, {node.name.value: node for node in fragments}, _variables(operation, variables))


def _chosen(operations: Iterable[OperationDefinitionNode], name: str | None) -> OperationDefinitionNode:
    matching = [each for each in operations if name is None or (each.name and each.name.value == name)]
    if len(matching) != 1:
        text = (
            "There is no such operation" if not matching else "There are several operations: name one by operationName"
        )
        raise Fault(f"{text}.", matching[0] if matching else None)
    return matching[0]


def _variables(operation: OperationDefinitionNode, sent: Mapping[str, Any]) -> dict[str, Any]:
    plain = Statement(operation, {}, {})
    variables: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        default = plain.value(definition.default_value) if definition.default_value else None
        variables[name] = sent.get(name, default)
        if variables[name] is None and isinstance(definition.type, NonNullTypeNode):
            raise Fault(f"The variable ${name} needs a value.", definition, code="required")
    return variables
