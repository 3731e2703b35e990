"""Generating the snapshot of a StructureDefinition from its differential.

The base's snapshot is read as a tree and the differential's tree is laid over it: an element that the differential goes
into gets the children of its type (or of its type's profile), a slice begins as what the base says of every member, and
what the differential says is merged last. https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from __future__ import annotations

from typing import Any

from fhir_server.r4.profiles.definitions import Definitions, split_canonical, type_url
from fhir_server.r4.profiles.snapshot.elements import merge_element
from fhir_server.r4.profiles.snapshot.tree import MalformedTree, Node, read_tree, write_tree

Json = dict[str, Any]

FHIR_VERSIONS = ("4.0.0", "4.0.1")
"""The FHIR versions whose StructureDefinitions R4 can use."""

_MOST_LEVELS = 40
_PLACE = frozenset({"min", "max", "base", "type", "slicing", "sliceName", "id", "path"})
"""What an element says of its place, and not of what stands there."""


class SnapshotError(Exception):
    """A snapshot cannot be made; the text says of which definition, and why."""


def snapshot_of(structure: Json, definitions: Definitions) -> list[Json]:
    """Return the elements of a definition's snapshot, generated where it has none; raises SnapshotError."""
    elements = (structure.get("snapshot") or {}).get("element")
    if elements:
        _require_r4(structure)
        return list(elements)
    return generate_snapshot(structure, definitions)


def generate_snapshot(structure: Json, definitions: Definitions) -> list[Json]:
    """Return the elements of the snapshot that the differential and its base make; raises SnapshotError."""
    return write_tree(Trees(definitions).tree(structure))


def _require_r4(structure: Json) -> None:
    version = structure.get("fhirVersion")
    if version is not None and version not in FHIR_VERSIONS:
        raise SnapshotError(
            f"{structure.get('url')} is published for FHIR {version}, and this server speaks R4 (4.0.1)."
        )


class Trees:
    """The snapshots of definitions as trees, each read or generated once; SnapshotError where one cannot be made."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._under_way: list[str] = []
        self._trees: dict[str, Node] = {}

    def tree(self, structure: Json) -> Node:
        """Return the tree of a definition, generated."""
        _require_r4(structure)
        url = str(structure.get("url"))
        if url in self._under_way or len(self._under_way) > _MOST_LEVELS:
            raise SnapshotError(f"{url} is built upon itself: {' -> '.join([*self._under_way, url])}.")
        base_url = structure.get("baseDefinition")
        if not isinstance(base_url, str):
            raise SnapshotError(f"{url} has no baseDefinition.")
        self._under_way.append(url)
        try:
            base = self.named(base_url, url).copy()
            differential = _read(structure, "differential")
            return self._laid(base, differential, structure)
        finally:
            self._under_way.pop()

    def _laid(self, base: Node, differential: Node | None, structure: Json) -> Node:
        base.name = str(structure.get("type") or base.name)
        base.element.pop("slicing", None)
        if differential is not None:
            if differential.name != base.name:
                raise SnapshotError(f"{structure.get('url')} has elements of {differential.name}, not of {base.name}.")
            _Overlay(self, base, str(structure.get("url"))).lay(base, differential)
        return base

    def named(self, canonical: str, needed_by: str) -> Node:
        """Return the tree of the definition that a canonical names: not to be changed."""
        if canonical not in self._trees:
            url, version = split_canonical(canonical)
            structure = self._definitions.structure(url, version)
            if structure is None:
                raise SnapshotError(f"{needed_by} is built on {canonical}, which is not known to this server.")
            _require_r4(structure)
            published = _read(structure, "snapshot")
            self._trees[canonical] = published or self.tree(structure)
        return self._trees[canonical]

    def children_of(self, node: Node, root: Node, needed_by: str) -> list[Node]:
        """Return an element's own children, or those of its type, its type's profile or its content reference."""
        if node.children:
            return node.children
        reference = node.element.get("contentReference")
        if isinstance(reference, str):
            return _referenced(root, reference, needed_by).children
        return self.named(_definition_of(node), needed_by).children


def _referenced(root: Node, reference: str, needed_by: str) -> Node:
    node = root
    for part in reference.partition("#")[2].split(".")[1:]:
        name, _, slice_name = part.partition(":")
        child = node.child(name)
        sliced = child.slice(slice_name) if child and slice_name else child
        if sliced is None:
            raise SnapshotError(f"{needed_by}: there is no element {reference}.")
        node = sliced
    return node


def _definition_of(node: Node) -> str:
    """Return the canonical of the definition that an element's children come from."""
    types = node.element.get("type") or []
    if len(types) != 1:
        return type_url("Element")
    profiles = types[0].get("profile") or []
    return str(profiles[0]) if len(profiles) == 1 else type_url(str(types[0]["code"]))


def _read(structure: Json, view: str) -> Node | None:
    elements = (structure.get(view) or {}).get("element")
    if not elements:
        return None
    try:
        return read_tree(elements)
    except MalformedTree as error:
        raise SnapshotError(f"{structure.get('url')}: {error}") from error


class _Overlay:
    """Laying a differential over a base tree, which is changed in place."""

    def __init__(self, trees: Trees, root: Node, url: str) -> None:
        self._trees = trees
        self._root = root
        self._url = url

    def lay(self, base: Node, differential: Node) -> None:
        """Merge a node and everything below it; what is said of all members is not repeated in a new slice."""
        pristine = dict(base.element)
        base.element = self._merged(base, differential.element)
        if differential.children:
            self._expand(base)
        for child in differential.children:
            self._lay_child(base, child)
        if differential.slices and "slicing" not in base.element and base.name in _SLICED_BY:
            base.element["slicing"] = _slicing(*_SLICED_BY[base.name], "open")
        elif differential.slices and base.name.endswith("[x]"):
            base.element.setdefault("slicing", _by_type("open"))
        for each in differential.slices:
            self._lay_slice(base, pristine, each)
        self._close_choices(base, differential)

    def _merged(self, base: Node, differential: Json) -> Json:
        element = base.element
        profile = _only_profile(differential)
        if profile is not None and profile != _only_profile(element) and differential["type"][0]["code"] == "Extension":
            element = self._of_extension(element, profile)
        return merge_element(element, differential)

    def _of_extension(self, element: Json, profile: str) -> Json:
        """Return the element as the extension's own definition describes it, as often as it may stand here."""
        root = self._trees.named(profile, self._url).element
        described = {name: value for name, value in root.items() if name not in _PLACE}
        return described | {name: value for name, value in element.items() if name in _PLACE}

    def _lay_child(self, base: Node, differential: Node) -> None:
        child = base.child(differential.name)
        if child is not None:
            self.lay(child, differential)
            return
        choice = next((each for each in base.children if _chosen_type(each, differential.name)), None)
        if choice is None:
            raise SnapshotError(f"{self._url} has an element {differential.name} that {base.name} does not have.")
        self._lay_choice(choice, differential)

    def _lay_choice(self, choice: Node, differential: Node) -> None:
        """Lay what the differential says of `valueQuantity` over `value[x]`: a slice by type."""
        type_code = _chosen_type(choice, differential.name)
        sliced = Node(choice.name, dict(differential.element), differential.name, differential.children)
        sliced.element.setdefault("type", [each for each in choice.element["type"] if each["code"] == type_code])
        self._lay_slice(choice, choice.element, sliced)

    def _close_choices(self, base: Node, differential: Node) -> None:
        """Leave a choice that the differential names by types alone no type but these."""
        named = [each for each in differential.children if base.child(each.name) is None]
        for choice in base.children if named else ():
            chosen = [code for each in named if (code := _chosen_type(choice, each.name))]
            if chosen and differential.child(choice.name) is None:
                types = [each for each in choice.element["type"] if each["code"] in chosen]
                choice.element = {**choice.element, "type": types, "slicing": _by_type("closed")}

    def _lay_slice(self, base: Node, pristine: Json, differential: Node) -> None:
        name = str(differential.slice_name)
        node = base.slice(name)
        if node is None:
            node = self._new_slice(base, pristine, name)
        self.lay(node, differential)
        node.element["sliceName"] = name

    def _new_slice(self, base: Node, pristine: Json, name: str) -> Node:
        """Return a slice that begins as what the base says of every member, or of the slice that it slices."""
        outer = base.slice(name.rpartition("/")[0]) if "/" in name else None
        origin = base if outer is None else outer
        element = dict(pristine if outer is None else outer.element)
        node = Node(base.name, element, name, [each.copy() for each in origin.children])
        node.element.pop("slicing", None)
        if outer is None:
            base.slices.append(node)
        else:
            prefix = f"{outer.slice_name}/"
            beside = [index for index, each in enumerate(base.slices) if str(each.slice_name).startswith(prefix)]
            base.slices.insert(1 + (max(beside) if beside else base.slices.index(outer)), node)
        return node

    def _expand(self, node: Node) -> None:
        if not node.children:
            node.children = [each.copy() for each in self._trees.children_of(node, self._root, self._url)]


_SLICED_BY = {"extension": ("value", "url"), "modifierExtension": ("value", "url")}
"""How slices of extensions are told apart, where a differential does not say."""


def _by_type(rules: str) -> Json:
    return _slicing("type", "$this", rules)


def _slicing(kind: str, path: str, rules: str) -> Json:
    return {"discriminator": [{"type": kind, "path": path}], "ordered": False, "rules": rules}


def _only_profile(element: Json) -> str | None:
    """Return the profile of an element's type, where it has but one."""
    types = element.get("type") or []
    profiles = types[0].get("profile") or [] if len(types) == 1 else []
    return profiles[0] if len(profiles) == 1 else None


def _chosen_type(choice: Node, name: str) -> str | None:
    """Return the type by which a name such as `valueQuantity` is one of the choice `value[x]`."""
    if not choice.name.endswith("[x]") or not name.startswith(choice.name[:-3]):
        return None
    suffix = name[len(choice.name) - 3 :]
    for each in choice.element.get("type") or []:
        code = str(each.get("code"))
        if code[:1].upper() + code[1:] == suffix:
            return code
    return None
