"""From a syntax tree to closures.

The type of the focus is followed as far as the tables tell it, so that plain paths become direct reads of the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.r4.fhirpath.arithmetic import negative, positive
from fhir_server.r4.fhirpath.chains import chain
from fhir_server.r4.fhirpath.code import Code, of_chain, of_constant, of_focus, of_items
from fhir_server.r4.fhirpath.functions import FUNCTIONS
from fhir_server.r4.fhirpath.functions.typing import as_type, is_type
from fhir_server.r4.fhirpath.items import EMPTY, FhirPathError, Item, Items, Scope, integer_of
from fhir_server.r4.fhirpath.navigation import elements_named, member, resource_item
from fhir_server.r4.fhirpath.operators import OPERATORS, equal_to_text
from fhir_server.r4.fhirpath.syntax import (
    Call,
    Constant,
    Indexer,
    Literal,
    Member,
    Node,
    Operation,
    Polarity,
    TypeOperation,
    Variable,
)
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES, accepts, is_fhir_type

_CONSTANTS = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_CONSTANT_PREFIXES = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}


NO_CONSTANTS: Mapping[str, Code] = {}


class Compiler:
    """Compiles the parts of one expression for one type of focus, None where that is not known.

    With `search`, the expression is one of a search parameter: it reads only the resource itself, and a name that a
    type does not have is a fault instead of an empty result. `constants` are those that the expression may name beside
    FHIR's own, such as `%limit`.
    """

    def __init__(
        self, type_name: str | None, *, search: bool = False, constants: Mapping[str, Code] = NO_CONSTANTS
    ) -> None:
        self.search = search
        self.constants = constants
        self.type = None if type_name in ("Resource", "DomainResource") else type_name

    def within(self, type_name: str | None) -> Compiler:
        """Return the compiler for the arguments of a function whose input has a type."""
        return Compiler(type_name, search=self.search, constants=self.constants)

    def target(self, call: Call) -> Code:
        """Return the code of what a function is applied to."""
        return of_focus(self.type) if call.target is None else self.code(call.target)

    def code(self, node: Node) -> Code:
        """Return the code of a part; raise FhirPathError for a function, type or constant that does not exist."""
        match node:
            case Member():
                return self._member(node)
            case Call():
                return self._call(node)
            case Literal():
                return of_constant([] if node.type is None else [Item(node.type, node.value)])
            case Operation():
                return self._operation(node)
            case TypeOperation():
                build = is_type if node.operator == "is" else as_type
                return build(self.code(node.operand), node.type)
            case Indexer():
                return self._indexer(node)
            case Variable():
                return self._variable(node.name)
            case Constant():
                return self.constants[node.name] if node.name in self.constants else _constant(node.name)
            case Polarity():
                source, sign = self.code(node.operand).items, negative if node.sign == "-" else positive
                return of_items(lambda this, scope: sign(source(this, scope)))
        raise FhirPathError(f"{type(node).__name__} is not a part of an expression.")

    def _member(self, node: Member) -> Code:
        if node.target is None:
            if node.name[:1].isupper() and is_fhir_type(node.name):
                return self._root(node.name)
            target = of_focus(self.type)
        else:
            target = self.code(node.target)
        if target.type is not None and _is_complex(target.type):
            self._check(target.type, node.name)
            if target.focus:
                return of_chain(chain(target.type, node.name))
        longer = None if target.chain is None else target.chain.then(node.name)
        return self._step(target, node.name) if longer is None else of_chain(longer)

    def _root(self, name: str) -> Code:
        if self.type is not None:
            return of_focus(self.type) if accepts(name, self.type) else of_constant(EMPTY)
        return of_items(lambda this, scope: [item for item in this if accepts(name, item.type)])

    def _step(self, target: Code, name: str) -> Code:
        types = {element.type for element in elements_named(target.type, name)} if target.type is not None else set()
        source, step = target.items, member(name)
        single_type = types.pop() if len(types) == 1 else None

        def items(this: Items, scope: Scope) -> Items:
            result = step(source(this, scope))
            scope.spend(len(result))
            return result

        return of_items(items, None if single_type == "Resource" else single_type)

    def _check(self, type_name: str, name: str) -> None:
        if self.search and not elements_named(type_name, name):
            raise FhirPathError(f"{type_name} has no element {name!r}.")

    def _call(self, node: Call) -> Code:
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise FhirPathError(f"The function {node.name}() is not supported.")
        if not function.fewest <= len(node.arguments) <= function.most:
            raise FhirPathError(f"{node.name}() does not take {len(node.arguments)} arguments.")
        return function.build(self, node)

    def _operation(self, node: Operation) -> Code:
        left = self.code(node.left)
        match node:
            case Operation("=", _, Literal("System.String", str(text))):
                return equal_to_text(left, text)
        return OPERATORS[node.operator](left, self.code(node.right))

    def _indexer(self, node: Indexer) -> Code:
        target, index = self.code(node.target), self.code(node.index).items
        source = target.items

        def evaluate(this: Items, scope: Scope) -> Items:
            at = integer_of(index(this, scope))
            return EMPTY if at is None or at < 0 else source(this, scope)[at : at + 1]

        return of_items(evaluate, target.type)

    def _variable(self, name: str) -> Code:
        if name == "$this":
            return of_focus(self.type)
        if name == "$index":
            return of_items(lambda this, scope: [Item("System.Integer", scope.index)])
        return of_items(lambda this, scope: scope.total)


def _is_complex(type_name: str) -> bool:
    return not type_name.startswith("System.") and SYSTEM_TYPES.get(type_name, "Quantity") == "Quantity"


def _constant(name: str) -> Code:
    if name in _CONSTANTS:
        return of_constant([Item("System.String", _CONSTANTS[name])])
    for prefix, url in _CONSTANT_PREFIXES.items():
        if name.startswith(prefix):
            return of_constant([Item("System.String", url + name.removeprefix(prefix))])
    match name:
        case "context":
            return of_items(lambda this, scope: [scope.context])
        case "resource":
            return of_items(lambda this, scope: EMPTY if scope.resource is None else [resource_item(scope.resource)])
        case "rootResource":
            return of_items(lambda this, scope: EMPTY if scope.root is None else [resource_item(scope.root)])
    raise FhirPathError(f"The constant %{name} does not exist.")
