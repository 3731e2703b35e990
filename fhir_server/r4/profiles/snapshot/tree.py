"""A list of ElementDefinitions as a tree: children below their parent, slices beside the element that they slice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Node:
    """An element, or a slice of one; `element` is empty where a differential goes through it without a word."""

    name: str
    """The last step of the path: "value[x]"."""
    element: Json
    slice_name: str | None = None
    children: list[Node] = field(default_factory=list)
    slices: list[Node] = field(default_factory=list)

    def child(self, name: str) -> Node | None:
        """Return the child of a name."""
        return next((each for each in self.children if each.name == name), None)

    def slice(self, name: str) -> Node | None:
        """Return the slice of a name."""
        return next((each for each in self.slices if each.slice_name == name), None)

    def copy(self) -> Node:
        """Return the same tree with elements of its own, so that they can be changed one level deep."""
        return Node(
            self.name,
            dict(self.element),
            self.slice_name,
            [each.copy() for each in self.children],
            [each.copy() for each in self.slices],
        )


class MalformedTree(Exception):
    """The elements do not make one tree."""


def read_tree(elements: Iterable[Json]) -> Node:
    """Return the root of a snapshot or differential; raises MalformedTree."""
    root: Node | None = None
    latest: dict[str, Node] = {}
    for element in elements:
        path = element.get("path")
        if not isinstance(path, str) or not path:
            raise MalformedTree("An element has no path.")
        if root is None:
            name = path.partition(".")[0]
            root = latest[name] = Node(name, {})
        if path == root.name:
            root.element = element
            continue
        if not path.startswith(root.name + "."):
            raise MalformedTree(f"{path[:200]} is not below {root.name}.")
        _place(element, path, latest)
    if root is None:
        raise MalformedTree("There are no elements.")
    return root


def _place(element: Json, path: str, latest: dict[str, Node]) -> None:
    parent = _parent(path, latest)
    name = path.rpartition(".")[2]
    slice_name = element.get("sliceName")
    node = parent.child(name)
    if node is None:
        node = Node(name, {})
        parent.children.append(node)
    if slice_name is not None:
        at = node.slice(slice_name)
        if at is None:
            at = Node(name, {}, slice_name)
            node.slices.append(at)
        node = at
    node.element = element
    for below in [each for each in latest if each.startswith(path + ".")]:
        del latest[below]
    latest[path] = node


def _parent(path: str, latest: dict[str, Node]) -> Node:
    """Return the node above a path, made where a differential leaves it out."""
    above = path.rpartition(".")[0]
    if above not in latest:
        parent = _parent(above, latest)
        name = above.rpartition(".")[2]
        node = parent.child(name)
        if node is None:
            node = Node(name, {})
            parent.children.append(node)
        latest[above] = node
    return latest[above]


def write_tree(root: Node) -> list[Json]:
    """Return the elements of a tree in the order of a snapshot, each with its path and id."""
    return list(_written(root, root.name, root.name))


def _written(node: Node, path: str, id_: str) -> Iterator[Json]:
    yield {"id": id_, "path": path, **{key: value for key, value in node.element.items() if key not in ("id", "path")}}
    for child in node.children:
        yield from _written(child, f"{path}.{child.name}", f"{id_}.{child.name}")
    for each in node.slices:
        yield from _written(each, path, f"{id_}:{each.slice_name}")
