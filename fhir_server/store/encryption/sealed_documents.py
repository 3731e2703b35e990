"""Documents of one collection as they are stored in an encrypted database: what is written, asked and read.

`~name` beside a blind field holds what it was, sealed; beside a sealed one that is partly shown, all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from fhir_server.store.database.encoding import CODEC
from fhir_server.store.encryption.key_ring import KeyRing, is_sealed, kind_of
from fhir_server.store.encryption.layouts import Layout

Document = dict[str, Any]
Filter = Mapping[str, Any]
Opener = Callable[[Any], Any]

_RAW, _VALUE, _LOOSE = 0, 1, 2
"""Kinds of sealed values: bytes, a value of BSON, and one that is bound to its collection and not to its row."""
_ID = "_id"
_BESIDE = "~"
_LOGICAL = frozenset({"$and", "$or", "$nor"})
_ASSIGNING = frozenset({"$set", "$setOnInsert"})
_CODEC: CodecOptions[Document] = CODEC


class SealedDocuments:
    """Seals, finds and opens the documents of one collection by its layout."""

    def __init__(self, ring: KeyRing, collection: str, layout: Layout) -> None:
        self.ring = ring
        self.collection = collection
        self.layout = layout

    # --- Written -------------------------------------------------------------------------------------------------

    def document(self, document: Filter) -> Any:
        """Return a document as it is stored; one that is BSON already is taken to be so."""
        if isinstance(document, RawBSONDocument):
            return document
        fields = dict(document)
        if not self.layout.blind_id:
            # The driver would give it one too late for its fields to be bound to it.
            fields.setdefault(_ID, bson.ObjectId())
        return self._fields(fields, fields.get(_ID))

    def update(self, update: Any, condition: Filter, *, upsert: bool = False) -> Any:
        """Return a change as it is stored, of the document that meets a condition."""
        if isinstance(update, RawBSONDocument):
            return update
        row = condition.get(_ID)
        if isinstance(update, Sequence):
            self._require_open(update)
            return update
        change = {
            operator: self._fields(value, row)
            if operator in _ASSIGNING
            else self._removed(value)
            if operator == "$unset"
            else self._untouched(value)
            for operator, value in update.items()
        }
        beside = self._beside(condition) if upsert else {}
        return change | {"$setOnInsert": change.get("$setOnInsert", {}) | beside} if beside else change

    def _fields(self, fields: Filter, row: Any) -> Document:
        layout = self.layout
        written: Document = {}
        for name, value in fields.items():
            if name == _ID:
                written |= self._row(value) if layout.blind_id else {_ID: value}
            elif value is None:
                written[name] = None
                if name in layout.blind or name in layout.shown:
                    written[_BESIDE + name] = None
            elif name in layout.blind:
                written |= {name: self._hash(name, value), _BESIDE + name: self.sealed(name, value, row)}
            elif name in layout.shown:
                written |= {name: _outline(value, layout.shown[name]), _BESIDE + name: self.sealed(name, value, row)}
            elif name in layout.sealed:
                written[name] = self.sealed(name, value, row)
            else:
                self._require_clear(name)
                written[name] = value
        return written

    def _row(self, row: Any) -> Document:
        return {_ID: self._hash(_ID, row), _BESIDE + _ID: self.sealed(_ID, row, row)}

    def _beside(self, condition: Filter) -> Document:
        """Return what a document that is made by a condition holds beside the blind values of that."""
        beside = {
            _BESIDE + name: self.sealed(name, value, condition.get(_ID))
            for name, value in condition.items()
            if name in self.layout.blind and isinstance(value, str)
        }
        if self.layout.blind_id and isinstance(condition.get(_ID), str):
            beside[_BESIDE + _ID] = self.sealed(_ID, condition[_ID], condition[_ID])
        return beside

    def _removed(self, fields: Filter) -> Document:
        layout = self.layout
        beside = {_BESIDE + name: "" for name in fields if name in layout.blind or name in layout.shown}
        return {**fields, **beside}

    def _untouched(self, fields: Any) -> Any:
        for name in fields:
            self._require_clear(name)
        return fields

    def _require_clear(self, name: str) -> None:
        """Refuse to change a part of what is sealed: a mistake of ours, found by the first test that gets here."""
        field = name.partition(".")[0]
        if field in self.layout.sealed or field in self.layout.blind or (field == _ID and self.layout.blind_id):
            raise TypeError(f"{self.collection}.{name} is sealed and can be written as a whole only.")

    def _require_open(self, stages: Sequence[Filter]) -> None:
        for stage in stages:
            for fields in stage.values():
                self._untouched(fields)

    def sealed(self, name: str, value: Any, row: Any) -> bytes:
        """Return the value of a field sealed; where the row is not told, for any row of the collection."""
        place = self.place(name, row)
        if isinstance(value, bytes) and type(value) is bytes and isinstance(row, str):
            return self.ring.seal(value, place, _RAW)
        kind = _VALUE if isinstance(row, str | bson.ObjectId) else _LOOSE
        return self.ring.seal(bson.encode({"v": value}, codec_options=_CODEC), place, kind)

    def place(self, name: str, row: Any) -> str:
        """Return the place that a field is bound to."""
        if not isinstance(row, str | bson.ObjectId):
            return f"{self.collection}\x1f\x1f{name}"
        return f"{self.collection}\x1f{self._hash(_ID, row) if self.layout.blind_id else row}\x1f{name}"

    def _hash(self, name: str, value: Any) -> Any:
        """Return what stands for a blind value; what is no text stands for itself."""
        return self.ring.fingerprint(f"{self.collection}.{name}", value) if isinstance(value, str) else value

    # --- Asked ---------------------------------------------------------------------------------------------------

    def filter(self, condition: Any) -> Any:
        """Return a condition as the stored documents meet it."""
        if not condition:
            return condition
        return {name: self._test(name, value) for name, value in condition.items()}

    def _test(self, name: str, value: Any) -> Any:
        if name in _LOGICAL:
            return [self.filter(each) for each in value]
        if name in self.layout.blind or (name == _ID and self.layout.blind_id):
            return self._blind_test(name, value)
        if name.partition(".")[0] in self.layout.sealed and not self._is_shown(name):
            if value is None or (isinstance(value, Mapping) and "$exists" in value):
                return value
            raise TypeError(f"{self.collection}.{name} is sealed and cannot be searched.")
        return value

    def _is_shown(self, name: str) -> bool:
        field, _, below = name.partition(".")
        return below in self.layout.shown.get(field, ())

    def _blind_test(self, name: str, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return self._hash(name, value)
        tests: Document = {}
        for operator, operand in value.items():
            if operator in ("$in", "$nin"):
                tests[operator] = [self._hash(name, each) for each in operand]
            elif operator in ("$eq", "$ne"):
                tests[operator] = self._hash(name, operand)
            elif operator == "$exists":
                tests[operator] = operand
            else:
                raise TypeError(f"{self.collection}.{name} is blind and cannot be compared by {operator}.")
        return tests

    def projection(self, projection: Any) -> Any:
        """Return which fields are to be read, so that those that are asked for can be told."""
        if not isinstance(projection, Mapping):
            return projection
        kept = {name for name, value in projection.items() if value}
        if not kept:
            return projection
        beside = {_BESIDE + name: 1 for name in kept if name in self.layout.blind or name in self.layout.shown}
        if self.layout.blind_id and projection.get(_ID, 1):
            beside[_BESIDE + _ID] = 1
        return {**projection, **beside}

    def pipeline(self, stages: Sequence[Any]) -> Sequence[Any]:
        """Return stages as they are run on stored documents."""
        return [{"$match": self.filter(stage["$match"])} if "$match" in stage else stage for stage in stages]

    # --- Read ----------------------------------------------------------------------------------------------------

    def opened(self, document: Any) -> Any:
        """Return a document that was read with its values opened; raises Unreadable."""
        if not isinstance(document, dict):
            return document
        row = document.get(_ID)
        for name in [name for name, value in document.items() if is_sealed(value) or name.startswith(_BESIDE)]:
            sealed = document.pop(name)
            if sealed is not None:
                document[name.removeprefix(_BESIDE)] = self._value(name.removeprefix(_BESIDE), sealed, row)
        return document

    def place_of(self, name: str, document: Filter) -> str:
        """Return the place that a sealed value of a stored document is bound to."""
        return self._place_in(name.removeprefix(_BESIDE), document[name], document[_ID])

    def _place_in(self, name: str, sealed: bytes, row: Any) -> str:
        return f"{self.collection}\x1f{'' if kind_of(sealed) == _LOOSE else row}\x1f{name}"

    def _value(self, name: str, sealed: bytes, row: Any) -> Any:
        value = self.ring.open(sealed, self._place_in(name, sealed, row))
        return value if kind_of(sealed) == _RAW else bson.decode(value, codec_options=_CODEC)["v"]


def _outline(value: Any, paths: Sequence[str]) -> Any:
    """Return of a value what stands at these paths."""
    outline: Document = {}
    for path in paths:
        part, names = value, path.split(".")
        for name in names:
            part = part.get(name) if isinstance(part, Mapping) else None
        below = outline
        for name in names[:-1]:
            below = below.setdefault(name, {})
        below[names[-1]] = part
    return outline
