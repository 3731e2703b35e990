"""The names of the collections that resources are in: of a type what is stored, and what packages define of it."""

from __future__ import annotations

_DEFINED = "_defined"


def collection_of(resource_type: str) -> str:
    """Return the name of the collection with the definitions of a type."""
    return resource_type + _DEFINED


def type_of(collection: str) -> str:
    """Return the resource type of what is in a collection, of definitions or of stored resources."""
    return collection.removesuffix(_DEFINED)
