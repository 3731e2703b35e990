"""Resources as they are stored in an encrypted database: their content sealed, and what they are found by blind.

A document has `json`, `content` and `subscriber` sealed for its type, id and version, and no `resource`. Its index
entry is sealed as a whole in `index`, from which `keys` and `ranges` are read, while those that are stored are blind.
So a copy in the history opens there, and one put under another id or version does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from bson.raw_bson import RawBSONDocument

from fhir_server.errors import NotSupported
from fhir_server.store.database.encoding import encode
from fhir_server.store.database.failures import translated
from fhir_server.store.encryption.key_ring import OVERHEAD, KeyRing, is_sealed
from fhir_server.store.encryption.layouts import RESOURCE
from fhir_server.store.encryption.sealed_documents import SealedDocuments

Document = dict[str, Any]
Filter = Mapping[str, Any]

HISTORY = "_history"
INDEX = "index"
_ENTRY = ("keys", "ranges")
_UNUSUAL = re.compile(rb'(?:":|[,\[])-?(?:[0-9.]{34}|[0-9.]+[eE][+-]?[0-9]{4})')
"""What a number has that may not fit into a decimal of BSON."""
_SHAPES = bytes.maketrans(b"123456789.E-", b"0000000000e+")
_UNUSUAL_SHAPES = (b"0" * 34, b"0e0000", b"0e+0000")
_SIZE = {"$binarySize": "$json"}
_WRITTEN = frozenset({"json", "content", "subscriber", "resource", "keys", "ranges", "conditions"})


def type_of(collection: str) -> str:
    """Return the type of the resources in a collection, current or earlier ones."""
    return collection.removesuffix(HISTORY)


def _may_not_fit(json: bytes) -> bool:
    """Return whether a number in a JSON may be beyond the decimals of BSON; in most there is none that looks so."""
    shapes = json.translate(_SHAPES)
    looks_so = any(shape in shapes for shape in _UNUSUAL_SHAPES)
    return looks_so and _UNUSUAL.search(json) is not None


class SealedResources(SealedDocuments):
    """Seals, finds and opens the resources of one type; `sealed_types` says which collections are of such."""

    def __init__(self, ring: KeyRing, collection: str, sealed_types: frozenset[str]) -> None:
        super().__init__(ring, type_of(collection), RESOURCE)
        self._sealed_types = sealed_types
        self._is_history = collection.endswith(HISTORY)

    # --- Written -------------------------------------------------------------------------------------------------

    def document(self, document: Filter) -> Any:
        """Return a version as it is stored; one that is BSON already, or stored so already, stays as it is."""
        if isinstance(document, RawBSONDocument) or is_sealed(document.get("json")):
            return document
        resource_id = document["id"] if "id" in document else document["_id"]
        return self.version(document, resource_id, document.get("version", 0))

    def version(self, document: Filter, resource_id: str, version: int) -> Document:
        """Return the document of a version as it is stored."""
        row = f"{resource_id}\x1f{version}"
        if "json" in document and _may_not_fit(document["json"]):
            # A plain database holds the resource beside its JSON, and no number that does not fit there.
            with translated:
                encode({"resource": document.get("resource")})
        fields = self._fields({name: value for name, value in document.items() if name not in _ENTRY_AND_MORE}, row)
        if "conditions" in document:
            fields["conditions"] = [self.ring.blind.condition(each) for each in document["conditions"]]
        return fields | self.index_entry(document, resource_id, version)

    def index_entry(self, index: Filter, resource_id: str, version: int) -> Document:
        """Return the fields of an index entry as they are stored."""
        if "keys" not in index:
            return {}
        blind = self.ring.blind
        ranges = index.get("ranges")
        entry: Document = {"keys": blind.keys(index["keys"])}
        if ranges and (blind_ranges := blind.ranges(ranges)):
            entry["ranges"] = blind_ranges
        packed = msgspec.msgpack.encode((index["keys"], ranges or {}))
        entry[INDEX] = self.ring.seal(packed, self.place(INDEX, f"{resource_id}\x1f{version}"))
        return entry

    def update(self, update: Any, condition: Filter, *, upsert: bool = False) -> Any:
        """Return a change as it is stored; one of what is sealed is made by who knows the version."""
        if isinstance(update, Mapping) and not isinstance(update, RawBSONDocument):
            for fields in update.values():
                changed = _WRITTEN.intersection(fields) if isinstance(fields, Mapping) else ()
                if any(fields[name] and not is_sealed(fields[name]) for name in changed) and INDEX not in fields:
                    raise TypeError(f"{sorted(changed)} of {self.collection} are sealed by who knows the version.")
        return update

    # --- Asked ---------------------------------------------------------------------------------------------------

    def filter(self, condition: Any) -> Any:
        """Return a condition as the stored documents meet it; raises NotSupported for one on what is sealed."""
        if not condition:
            return condition
        return {name: self._test(name, value) for name, value in condition.items()}

    def _test(self, name: str, value: Any) -> Any:
        if name in ("$and", "$or", "$nor"):
            return [self.filter(each) for each in value]
        if name == "keys":
            return self._key_test(value)
        if name.startswith("ranges."):
            return {"$elemMatch": self._range_test(value["$elemMatch"])}
        if name == "conditions":
            blind = self.ring.blind.condition
            if isinstance(value, str):
                return blind(value)
            return {"$in": [blind(each) for each in value["$in"]]} if "$in" in value else value
        return self._expression(value) if name == "$expr" else value

    def _key_test(self, value: Any) -> Any:
        blind = self.ring.blind
        if isinstance(value, str):
            return blind.key(value)
        tests: Document = {}
        for operator, operand in value.items():
            if operator in ("$in", "$nin"):
                tests[operator] = [blind.key(each) for each in operand]
            elif operator == "$elemMatch":
                tests[operator] = self._span_test(operand)
            elif operator == "$regex" and "[^" not in operand:
                tests[operator] = operand  # the beginning of blind keys, as `planner.counts` makes it
            else:
                raise _undecided()
        return tests

    def _span_test(self, test: Filter) -> Document:
        blind = self.ring.blind
        if "$lt" not in test or not {"$gte", "$gt"} & test.keys():
            raise _undecided()
        operator = "$gte" if "$gte" in test else "$gt"
        span = blind.span(test[operator], test["$lt"])
        if span is None:
            raise _undecided()
        others = {"$nin": [blind.key(each) for each in test["$nin"]]} if "$nin" in test else {}
        return {operator: span[0], "$lt": span[1], **others}

    def _range_test(self, test: Filter) -> Any:
        if "t" in test:
            raise _undecided()
        if "u" in test:
            return {**test, "u": self.ring.blind.unit(test["u"])}
        return test if test.keys() <= {"l", "h"} else self.filter(test)

    def projection(self, projection: Any) -> Any:
        """Return which fields are to be read, so that those that are asked for can be told."""
        if not isinstance(projection, Mapping):
            return projection
        projected = {name: self._expression(value) for name, value in projection.items()}
        if any(projected.get(name) == 1 for name in _ENTRY):
            projected |= {INDEX: 1, "version": 1}
            for name in _ENTRY:
                if projected.get(name) == 1:
                    del projected[name]
        if "json" in projected or "content" in projected:
            projected["version"] = 1
        if projected.get("subscriber") == 1:
            projected |= {"~subscriber": 1, "version": 1}
        return projected

    def pipeline(self, stages: Sequence[Any]) -> list[Any]:
        """Return stages as they are run on stored documents."""
        return [self._stage(stage) for stage in stages]

    def _stage(self, stage: Filter) -> Document:
        ((name, value),) = stage.items()
        match name:
            case "$match":
                return {name: self.filter(value)}
            case "$lookup" if "pipeline" in value:
                return {name: {**value, "pipeline": self._of(value["from"]).pipeline(value["pipeline"])}}
            case "$unionWith" if isinstance(value, Mapping) and "pipeline" in value:
                return {name: {**value, "pipeline": self._of(value["coll"]).pipeline(value["pipeline"])}}
            case "$project":
                shown = self.projection(value)
                # What follows may join by the keys as they are stored.
                return {name: {**{each: 1 for each in _ENTRY if value.get(each) == 1}, **shown}}
            case "$set" | "$addFields" | "$group":
                return {name: self._expression(value)}
        return dict(stage)

    def joined(self, stage: Filter) -> Document:
        """Return a stage of a collection that is not sealed, with what it joins as that is stored."""
        return self._stage(stage) if "$lookup" in stage or "$unionWith" in stage else dict(stage)

    def _of(self, collection: str) -> SealedDocuments | Plain:
        if type_of(collection) in self._sealed_types:
            return SealedResources(self.ring, collection, self._sealed_types)
        return Plain()

    def _expression(self, value: Any) -> Any:
        """Return an expression with the keys that it compares with as they are written, and sizes as they were."""
        if value == _SIZE:
            return {"$subtract": [_SIZE, OVERHEAD]}
        if isinstance(value, Mapping):
            intersected = value.get("$setIntersection")
            if intersected is not None and intersected[0] == "$keys":
                return {"$setIntersection": ["$keys", self._literal(intersected[1])]}
            return {name: self._expression(each) for name, each in value.items()}
        return [self._expression(each) for each in value] if isinstance(value, list) else value

    def _literal(self, keys: Any) -> Any:
        if isinstance(keys, Mapping):
            return {"$literal": [self.ring.blind.key(each) for each in keys["$literal"]]}
        return [self.ring.blind.key(each) for each in keys]

    # --- Read ----------------------------------------------------------------------------------------------------

    def opened(self, document: Any) -> Any:
        """Return a document that was read with its values opened; raises Unreadable."""
        if not isinstance(document, dict):
            return document
        sealed = [name for name, value in document.items() if is_sealed(value)]
        if sealed:
            of_type = self if "type" not in document else self._of_type(document["type"])
            row = f"{self.id_of(document)}\x1f{document.get('version')}"
            for name in sealed:
                of_type._open(document, name, row)
        document.pop("~subscriber", None)
        return document

    def _open(self, document: Document, name: str, row: str) -> None:
        value = document.pop(name)
        match name:
            case "index":
                document["keys"], document["ranges"] = self.entry(value, row)
            case "json":
                document[name] = self.ring.open(value, self.place(name, row))
            case _:
                named = name.removeprefix("~")
                document[named] = self._value(named, value, row)

    def _of_type(self, name: str) -> SealedResources:
        return self if name == self.collection else SealedResources(self.ring, name, self._sealed_types)

    def place_of(self, name: str, document: Filter) -> str:
        """Return the place that a sealed value of a stored document is bound to."""
        return self.place(name.removeprefix("~"), f"{self.id_of(document)}\x1f{document['version']}")

    def entry(self, sealed: bytes, row: str) -> tuple[list[str], dict[str, Any]]:
        """Return the keys and ranges of a sealed index entry; `row` is an id and a version."""
        keys, ranges = msgspec.msgpack.decode(self.ring.open(sealed, self.place(INDEX, row)))
        return keys, ranges

    def id_of(self, document: Filter) -> str:
        """Return the id of the resource that a document is a version of."""
        resource_id = document.get("id") or document["_id"]
        return str(resource_id).partition("/")[0] if self._is_history else str(resource_id)


_ENTRY_AND_MORE = frozenset({*_ENTRY, "resource", "conditions"})


class Plain:
    """Stages of a collection that is not sealed."""

    def pipeline(self, stages: Sequence[Any]) -> Sequence[Any]:
        """Return the stages."""
        return stages


def collection_of_results(collection: str, stages: Sequence[Mapping[str, Any]]) -> str:
    """Return the collection that the documents are from which stages on a collection leave."""
    looked_up: dict[str, str] = {}
    for stage in stages:
        if "$lookup" in stage:
            looked_up[f"${stage['$lookup']['as']}"] = stage["$lookup"]["from"]
        elif "$replaceRoot" in stage:
            root = stage["$replaceRoot"]["newRoot"]
            first = root["$mergeObjects"][0] if isinstance(root, Mapping) else root
            collection = looked_up.get(first, collection)
    return collection


def _undecided() -> NotSupported:
    return NotSupported("This cannot be decided on an encrypted database here; ask for it in a search of its own.")
