"""Conditions on other resources as database stages: chains and `_has` joined inside MongoDB.

For each document, one is looked up that its references lead to, or that refers to it. `inside` starts at the other end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fhir_server.search.index.keys import CANONICAL, CANONICAL_MARK, EVERY
from fhir_server.search.query.conditions import Condition, ReferredBy, RefersTo

Filter: TypeAlias = dict[str, Any]
Access: TypeAlias = Callable[[str], "Condition | None"]
Translate: TypeAlias = "Callable[[Condition, Joins], Filter]"


@dataclass(slots=True)
class Joins:
    """The stages that look up what a filter needs of other resources, collected while it is written.

    `access` says which resources of a type the caller may see: no others count in a join. `translate` makes the inner
    filters.
    """

    access: Access
    translate: Translate
    depth: int = 0
    stages: list[Filter] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)

    def new(self) -> str:
        """Return the name of a new field for what is looked up."""
        name = f"_join{self.depth}_{len(self.fields)}"
        self.fields.append(name)
        return name

    def inner(self) -> Joins:
        """Return an empty collection for the pipeline of a look-up."""
        return Joins(self.access, self.translate, self.depth + 1)

    def visible(self, resource_type: str, conditions: list[Condition]) -> Filter:
        """Return the filter of live resources of a type that meet the conditions and that the caller may see."""
        filters: list[Filter] = [{"keys": EVERY}, *(self.translate(each, self) for each in conditions)]
        allowed = self.access(resource_type)
        if allowed is not None:
            filters.append(self.translate(allowed, self))
        return {"$and": filters}

    def matching(self, resource_type: str, conditions: list[Condition]) -> list[Filter]:
        """Return the stages that keep such resources."""
        visible = self.visible(resource_type, conditions)
        return [*self.stages, {"$match": visible}]


def refers_to(condition: RefersTo, joins: Joins) -> Filter:
    """Return the filter of documents whose reference leads to a resource that meets the inner condition."""
    filters: list[Filter] = [] if condition.contained is None else [joins.translate(condition.contained, joins)]
    for target, inner in condition.targets.items():
        name = joins.new()
        joins.stages += [
            {"$set": {name: referring(condition, target)}},
            _look_up(target, name, referred_field(condition), joins.inner().matching(target, [inner])),
        ]
        filters.append({f"{name}.0": {"$exists": True}})
    return {"$or": filters} if filters else {"_id": {"$in": []}}


def referred_by(condition: ReferredBy, joins: Joins) -> Filter:
    """Return the filter of documents to which a resource refers that meets the inner condition."""
    name = joins.new()
    joins.stages += [
        {"$set": {name: referred(condition, condition.type)}},
        _look_up(condition.source, name, "keys", joins.inner().matching(condition.source, [condition.condition])),
    ]
    return {f"{name}.0": {"$exists": True}}


def _look_up(source: str, local: str, foreign: str, stages: list[Filter]) -> Filter:
    one = [*stages, {"$limit": 1}, {"$project": {"_id": 1}}]
    return {"$lookup": {"from": source, "localField": local, "foreignField": foreign, "pipeline": one, "as": local}}


def referring(chain: RefersTo | ReferredBy, target: str) -> Any:
    """Return the expression of what a document that refers by a chain's reference has of documents of the type.

    Those have it in their field `referred_field`.
    """
    if chain.canonical:
        return _keys_renamed(f"{chain.name}{CANONICAL_MARK}", CANONICAL)
    return referenced_ids(f"{chain.name}={target}/")


def referred_field(chain: RefersTo | ReferredBy) -> str:
    """Return the field by which documents are found that a chain's reference leads to."""
    return "keys" if chain.canonical else "_id"


def referred(chain: RefersTo | ReferredBy, target: str) -> Any:
    """Return the expression of the keys by which a document of the type is referred to by a chain's reference."""
    if chain.canonical:
        return _keys_renamed(CANONICAL, f"{chain.name}{CANONICAL_MARK}")
    return {"$concat": [f"{chain.name}={target}/", "$_id"]}


def referenced_ids(prefix: str) -> Filter:
    """Return the expression of the ids in the reference keys that begin so."""
    return _keys_renamed(prefix, "")


def _keys_renamed(prefix: str, other: str) -> Filter:
    """Return the expression of the keys that begin so, with another beginning."""
    length = len(prefix.encode())
    mine = {"$eq": [{"$indexOfBytes": ["$$this", prefix]}, 0]}
    keys = {"$filter": {"input": {"$ifNull": ["$keys", []]}, "as": "this", "cond": mine}}
    rest: Filter = {"$substrBytes": ["$$this", length, {"$subtract": [{"$strLenBytes": "$$this"}, length]}]}
    return {"$map": {"input": keys, "as": "this", "in": {"$concat": [other, rest]} if other else rest}}
