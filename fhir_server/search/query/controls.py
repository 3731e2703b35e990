"""The parameters that say how results are wanted: `_sort`, `_count`, `_include` and their like.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import BadRequest, TooLarge
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.index.embedded import is_embedded
from fhir_server.search.query.ast import Include, SortKey
from fhir_server.search.query.criteria import UnknownParameter
from fhir_server.search.registry import Parameter, parameters

_UNSORTABLE = frozenset({"composite", "special"})


@dataclass(slots=True)
class Controls:
    """What has been read so far; the fields are those of `ast.Query`."""

    types: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    includes: list[Include] = field(default_factory=list)


def read_control(controls: Controls, name: str, value: str) -> bool:
    """Take in one parameter; False where it is not of this kind. Raises BadRequest, or UnknownParameter."""
    head, _, modifier = name.partition(":")
    if head in ("_include", "_revinclude"):
        _include(controls, head, modifier, value)
        return True
    reader = _READERS.get(name)
    if reader is None:
        return False
    target, read = reader
    if target and target in controls.fields and target != "page":
        raise BadRequest(f"{name} appears twice.")
    content = read(controls, name, value)
    if target:
        controls.fields[target] = content
    return True


def _count(controls: Controls, name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise BadRequest(f"_count is a whole number, not {value[:40]!r}.", code="value")
    return int(value)


def _choice(*allowed: str) -> Callable[[Controls, str, str], str]:
    def read(controls: Controls, name: str, value: str) -> str:
        if value not in allowed:
            raise BadRequest(f"{name} is one of {', '.join(allowed)}, not {value[:40]!r}.", code="value")
        return value

    return read


def _elements(controls: Controls, name: str, value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if len(names) > _MOST_ELEMENTS:
        raise TooLarge(f"{name} names at most {_MOST_ELEMENTS} elements.", code="too-costly")
    return names


_MOST_ELEMENTS = 1000


def _text(controls: Controls, name: str, value: str) -> str:
    return value


def _flag(controls: Controls, name: str, value: str) -> bool:
    return _choice("true", "false")(controls, name, value) == "true"


# --- Sort --------------------------------------------------------------------------------------------------------


_MOST_SORTS = 10
_MOST_INCLUDES = 50


def _sort(controls: Controls, name: str, value: str) -> tuple[SortKey, ...]:
    texts = list(dict.fromkeys(text for text in value.split(",") if text))
    if len(texts) > _MOST_SORTS:
        raise TooLarge(f"{name} takes at most {_MOST_SORTS} parameters.", code="too-costly")
    return tuple(_sort_key(controls, text) for text in texts)


def _sort_key(controls: Controls, text: str) -> SortKey:
    descending, path = text.startswith("-"), tuple(text.removeprefix("-").split("."))
    kinds = {_sort_kind(resource_type, path) for resource_type in controls.types}
    if len(kinds) != 1:
        raise BadRequest(
            f"_sort: {text[:80]!r} is not the same kind of parameter in all types searched.", code="not-supported"
        )
    return SortKey(path, descending, kinds.pop(), text)


def _sort_kind(resource_type: str, path: tuple[str, ...]) -> str:
    head, *rest = path
    if path in {("_id",), ("_lastUpdated",), ("_score",)}:
        return head
    parameter = parameters(resource_type).get(head.partition(":")[0])
    if parameter is None:
        raise UnknownParameter(f"{resource_type} has no search parameter {head[:80]!r} to sort by.")
    if rest:
        return _chained_kind(parameter, head, tuple(rest))
    if parameter.type in _UNSORTABLE or not parameter.branches:
        raise BadRequest(f"Results cannot be sorted by {head!r}, a {parameter.type} parameter.", code="not-supported")
    return parameter.type


def _chained_kind(parameter: Parameter, head: str, rest: tuple[str, ...]) -> str:
    qualifier = head.partition(":")[2]
    targets = (qualifier,) if qualifier else (parameter.only,) if parameter.only else parameter.target
    if is_embedded(parameter):
        raise BadRequest(f"Bundles cannot be sorted by a chain through {head!r}.", code="not-supported")
    if parameter.type != "reference" or len(targets) != 1 or targets[0] not in RESOURCE_TYPES:
        raise BadRequest(
            f"To sort by a chain, {head!r} must lead to one type: write {head}:Type.", code="not-supported"
        )
    return _sort_kind(targets[0], rest)


# --- Include -----------------------------------------------------------------------------------------------------


def _include(controls: Controls, name: str, modifier: str, value: str) -> None:
    if modifier not in ("", "iterate", "recurse"):
        raise BadRequest(f"The modifier {modifier[:40]!r} is not one that {name} takes.", code="not-supported")
    text = f"{name}:{modifier}" if modifier else name
    for one in value.split(","):
        include = _one_include(controls, name == "_revinclude", modifier != "", one, text)
        if include not in controls.includes:
            controls.includes.append(include)
        if len(controls.includes) > _MOST_INCLUDES:
            raise TooLarge(f"A search includes by at most {_MOST_INCLUDES} parameters.", code="too-costly")


def _one_include(controls: Controls, reverse: bool, iterate: bool, value: str, name: str) -> Include:
    if value == "*":
        return Include("*", "*", None, reverse, iterate, f"{name}={value}")
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if source not in RESOURCE_TYPES or not code:
        raise BadRequest(f"{name}={value[:80]!r} is not Type:parameter or Type:parameter:TargetType.", code="value")
    if target and target not in RESOURCE_TYPES:
        raise BadRequest(f"{name}={value[:80]!r} names {target[:40]!r}, which is not a resource type.", code="value")
    if code != "*":
        parameter = parameters(source).get(code)
        if parameter is None:
            raise UnknownParameter(f"{source} has no search parameter {code[:80]!r} to include by.")
        if parameter.type != "reference":
            raise BadRequest(
                f"{name}={value[:80]!r}: {code!r} is a {parameter.type} parameter, no reference.", code="value"
            )
        _require_use(controls, parameter, source, target, reverse, iterate, f"{name}={value}")
    return Include(source, code, target or None, reverse, iterate, f"{name}={value}")


def _require_use(  # noqa: PLR0917 - an include has this many parts
    controls: Controls, parameter: Parameter, source: str, target: str, reverse: bool, iterate: bool, text: str
) -> None:
    """Raise UnknownParameter for an include that cannot add anything to a search of one type.

    Of a search of all types that there are, this would tell which there are.
    """
    if iterate or len(controls.types) != 1 or (source in controls.types and not reverse):
        return
    if not reverse:
        raise UnknownParameter(f"{text[:80]!r} leads from {source}, which is not searched; write _include:iterate.")
    targets = {target} if target else set(parameter.target)
    if targets and targets.isdisjoint(controls.types):
        raise UnknownParameter(f"{text[:80]!r} does not lead to what is searched; write _revinclude:iterate.")


_READERS: dict[str, tuple[str, Callable[[Controls, str, str], Any]]] = {
    "_count": ("count", _count),
    "_sort": ("sort", _sort),
    "_total": ("total", _choice("none", "estimate", "accurate")),
    "_summary": ("summary", _choice("true", "text", "data", "count", "false")),
    "_elements": ("elements", _elements),
    "_contained": ("contained", _choice("false", "true", "both")),
    "_containedType": ("contained_type", _choice("container", "contained")),
    "_explain": ("explain", _flag),
    "_page": ("page", _text),
    # How the answer is written, which is not for search to know.
    "_format": ("", _text),
    "_pretty": ("", _text),
}
