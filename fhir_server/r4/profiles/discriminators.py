"""Which slice a value belongs to: the discriminators of a slicing, compiled to one predicate for each slice.

https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from fhir_server.r4.profiles.bindings import codings_of
from fhir_server.r4.profiles.comparison import fits_pattern, is_fixed
from fhir_server.r4.profiles.definitions import STRUCTURES, split_canonical
from fhir_server.r4.profiles.items import Item, children_of, root_item
from fhir_server.r4.profiles.references import target_of, target_type
from fhir_server.r4.profiles.run import Json, Run
from fhir_server.r4.profiles.snapshot.elements import fixed_value
from fhir_server.r4.profiles.snapshot.generate import SnapshotError, Trees
from fhir_server.r4.profiles.snapshot.tree import Node

Predicate = Callable[[Item, Run], bool]

_STEP = re.compile(r"\$this|[A-Za-z]+\((?:'[^']*'|[A-Za-z.]*)\)|[A-Za-z_][A-Za-z0-9_]*(?:\[x\])?")
_ARGUMENT = re.compile(r"[^(]*\(['\"]?([^'\"]*)['\"]?\)")


class UnsupportedDiscriminator(SnapshotError):
    """A discriminator cannot be evaluated: its path or its definition says nothing that could tell slices apart."""


def steps_of(path: str) -> list[str]:
    """Return the steps of a discriminator's path; raises UnsupportedDiscriminator for what is no simple path."""
    rest, steps = path, []
    while rest:
        match = _STEP.match(rest)
        if match is None or (rest[match.end() :] and not rest[match.end() :].startswith(".")):
            raise UnsupportedDiscriminator(f"the discriminator path {path[:100]!r} is not a simple path.")
        steps.append(match[0])
        rest = rest[match.end() + 1 :]
    return [each for each in steps if each != "$this"]


class SliceMatching:
    """Makes the predicates of slices; `root` is the root of the profile, `url` its canonical."""

    def __init__(self, trees: Trees, root: Node, url: str) -> None:
        self._trees = trees
        self._root = root
        self._url = url
        self._canonicals: dict[int, str] = {}

    def predicate(self, slice_node: Node, discriminators: Iterable[Json]) -> Predicate:
        """Return the predicate that an item belongs to a slice: what every discriminator says."""
        predicates = [self._one(slice_node, str(each.get("type")), str(each.get("path"))) for each in discriminators]
        return lambda item, run: all(each(item, run) for each in predicates)

    def _one(self, slice_node: Node, kind: str, path: str) -> Predicate:
        steps = steps_of(path)
        nodes = self._defined(slice_node, steps)
        maker = {
            "value": self._by_value,
            "pattern": self._by_value,
            "exists": self._by_existence,
            "type": self._by_type,
            "profile": self._by_profile,
        }.get(kind)
        if maker is None:
            raise UnsupportedDiscriminator(f"R4 has no discriminator {kind!r}.")
        test = maker(nodes, path)
        if kind == "exists":
            return lambda item, run: test(values_at(item, steps, run), run)
        return lambda item, run: any(test([each], run) for each in values_at(item, steps, run))

    # --- What the definition says at a path --------------------------------------------------------------------

    def _defined(self, node: Node, steps: list[str]) -> list[Node]:
        nodes = [node]
        for step in steps:
            nodes = [below for each in nodes for below in self._step(each, step)]
        return nodes

    def _step(self, node: Node, step: str) -> list[Node]:
        if step == "resolve()":
            targets = {each: self._trees.named(each, self._url) for each in _targets(node)}
            self._canonicals |= {id(root): each for each, root in targets.items()}
            return list(targets.values())
        argument = _ARGUMENT.match(step)
        if argument is not None:
            name = step[: argument.start()]
            if name in ("ofType", "as"):
                return [self._of_type(node, argument[1])]
            if name == "extension":
                return [each for each in self._child(node, "extension") if self._is_extension(each, argument[1])]
            raise UnsupportedDiscriminator(f"the function {name} has no meaning in the path of a discriminator.")
        return self._child(node, step)[:1]

    def _child(self, node: Node, name: str) -> list[Node]:
        child = next(
            (
                each
                for each in self._trees.children_of(node, self._root, self._url)
                if each.name in (name, f"{name}[x]")
            ),
            None,
        )
        return [] if child is None else [child, *child.slices]

    def _is_extension(self, node: Node, url: str) -> bool:
        if node.slice_name is None:
            return False
        profiles = [split_canonical(each)[0] for each in _profiles(node)]
        fixed = [fixed_value(each.element, "fixed") for each in node.children if each.name == "url"]
        return url in profiles or any(each is not None and each[1] == url for each in fixed)

    def _of_type(self, node: Node, code: str) -> Node:
        return next((each for each in node.slices if _codes(each) == {code}), node)

    # --- Predicates on the values at a path --------------------------------------------------------------------

    def _by_value(self, nodes: list[Node], path: str) -> Callable[[list[Item], Run], bool]:
        tests = [test for node in nodes if (test := self._value_test(node, 4)) is not None]
        if not tests:
            raise UnsupportedDiscriminator(
                f"the slice states no fixed value, pattern or required binding at {path[:100]!r}."
            )
        return lambda items, run: any(test(item, run) for test in tests for item in items)

    def _value_test(self, node: Node, depth: int) -> Predicate | None:
        """Return the test that a value is what an element and those below it fix; None where they fix nothing."""
        element = node.element
        tests: list[Predicate] = []
        for kind, compare in (("fixed", is_fixed), ("pattern", fits_pattern)):
            stated = fixed_value(element, kind)
            if stated is not None:
                tests.append(_same(stated[1], compare))
        binding = element.get("binding") or {}
        if not tests and binding.get("strength") == "required" and binding.get("valueSet"):
            tests.append(_bound(str(binding["valueSet"])))
        if not tests and depth:
            tests = self._tests_below(node, depth - 1)
        return _all(tests) if tests else None

    def _tests_below(self, node: Node, depth: int) -> list[Predicate]:
        children = node.children
        if not children and _profiles(node) and _codes(node) == {"Extension"}:
            children = self._trees.children_of(node, self._root, self._url)
        tests: list[Predicate] = []
        for child in children:
            for each in (child, *child.slices):
                test = self._value_test(each, depth)
                if test is not None and (each.slice_name is None or each.element.get("min")):
                    tests.append(_some_child(child.name.removesuffix("[x]"), test))
        return tests

    def _by_existence(self, nodes: list[Node], path: str) -> Callable[[list[Item], Run], bool]:
        if any(each.element.get("min", 0) > 0 for each in nodes):
            return lambda items, _run: bool(items)
        if any(each.element.get("max") == "0" for each in nodes):
            return lambda items, _run: not items
        raise UnsupportedDiscriminator(f"the slice neither requires nor forbids {path[:100]!r}.")

    def _by_type(self, nodes: list[Node], path: str) -> Callable[[list[Item], Run], bool]:
        codes = {code for each in nodes for code in _codes(each)}
        if not codes:
            codes = {each.name for each in nodes}
        if "Resource" in codes:
            raise UnsupportedDiscriminator(f"the slice names no type at {path[:100]!r}.")
        return lambda items, _run: any(each.type in codes for each in items)

    def _by_profile(self, nodes: list[Node], path: str) -> Callable[[list[Item], Run], bool]:
        profiles = [profile for each in nodes for profile in _profiles(each)]
        if not profiles and path.endswith("resolve()"):
            profiles = [self._canonicals[id(each)] for each in nodes if id(each) in self._canonicals]
        if not profiles:
            return self._by_type(nodes, path)  # any resource of the type is meant

        def conforms(items: list[Item], run: Run) -> bool:
            return any(run.conforms(each, item) for item in items for each in profiles)

        return conforms


def _all(tests: list[Predicate]) -> Predicate:
    return lambda item, run: all(test(item, run) for test in tests)


def _same(stated: Any, compare: Callable[[Any, Any], bool]) -> Predicate:
    return lambda item, _run: compare(item.value, stated)


def _some_child(name: str, test: Predicate) -> Predicate:
    return lambda item, run: any(test(each, run) for each in children_of(item, name))


def _bound(value_set: str) -> Predicate:
    def is_bound(item: Item, run: Run) -> bool:
        codings = codings_of(item)
        alone = not isinstance(item.value, dict)
        return bool(codings) and run.terminology.membership(value_set, codings, code_alone=alone).holds is True

    return is_bound


def _codes(node: Node) -> set[str]:
    return {str(each.get("code")) for each in node.element.get("type") or ()}


def _profiles(node: Node) -> list[str]:
    return [profile for each in node.element.get("type") or () for profile in each.get("profile") or ()]


def _targets(node: Node) -> list[str]:
    targets = [target for each in node.element.get("type") or () for target in each.get("targetProfile") or ()]
    return [each for each in targets if each != STRUCTURES + "Resource"]


def values_at(item: Item, steps: list[str], run: Run) -> list[Item]:
    """Return the items at a discriminator's path below an item."""
    items = [item]
    for step in steps:
        items = [below for each in items for below in _values_step(each, step, run)]
    return items


def _values_step(item: Item, step: str, run: Run) -> list[Item]:
    if step == "resolve()":
        target = target_of(item, run)
        if target is not None:
            return [root_item(target, item.place)]
        named = target_type(item, None)
        return [Item(item.place, named, {"resourceType": named})] if named else []
    argument = _ARGUMENT.match(step)
    if argument is None:
        return children_of(item, step)
    if step.startswith("extension("):
        return [each for each in children_of(item, "extension") if (each.value or {}).get("url") == argument[1]]
    return [item] if item.type == argument[1] else []
