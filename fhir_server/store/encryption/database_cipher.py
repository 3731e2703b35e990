"""What seals a database: which of its collections are of sealed documents, and commands that name their collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.store.encryption.collection import SealedCollection, SealedResults
from fhir_server.store.encryption.key_ring import KeyRing
from fhir_server.store.encryption.layouts import LAYOUTS
from fhir_server.store.encryption.sealed_documents import SealedDocuments
from fhir_server.store.encryption.sealed_files import SealedFiles
from fhir_server.store.encryption.sealed_resources import SealedResources, collection_of_results, type_of

Document = dict[str, Any]
_TYPES = frozenset(RESOURCE_TYPES)


class DatabaseCipher:
    """Seals and opens what is in a database, by its keys."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._documents: dict[str, SealedDocuments | None] = {}

    def documents(self, collection: str) -> SealedDocuments | None:
        """Return what seals the documents of a collection; None for one that is not sealed."""
        if collection not in self._documents:
            self._documents[collection] = self._made(collection)
        return self._documents[collection]

    def _made(self, collection: str) -> SealedDocuments | None:
        if type_of(collection) in _TYPES:
            return SealedResources(self.ring, collection, _TYPES)
        layout = LAYOUTS.get(collection)
        return None if layout is None else SealedDocuments(self.ring, collection, layout)

    def resources(self, resource_type: str) -> SealedResources | None:
        """Return what seals the resources of a type; None for definitions that packages have brought."""
        documents = self.documents(resource_type)
        return documents if isinstance(documents, SealedResources) else None

    def collection(self, collection: AsyncCollection[Document]) -> AsyncCollection[Document]:
        """Return a collection of the driver as one whose documents are sealed, where they are to be."""
        documents = self.documents(collection.name)
        return collection if documents is None else SealedCollection.over(collection, documents)

    def command(self, command: Document) -> Document:
        """Return a reading command (find, count, aggregate, or what explains one) as it is run on stored documents."""
        if "explain" in command:
            return {**command, "explain": self.command(command["explain"])}
        if "aggregate" in command:
            return {**command, "pipeline": self.pipeline(_named(command), command["pipeline"])}
        documents = self.documents(_named(command))
        if documents is None:
            return command
        parts = ("filter", "query")
        changed: Document = {name: documents.filter(command[name]) for name in parts if name in command}
        if "projection" in command:
            changed["projection"] = documents.projection(command["projection"])
        return {**command, **changed}

    def pipeline(self, collection: str, stages: Any) -> Any:
        """Return stages on a collection as they are run on stored documents."""
        documents = self.documents(collection)
        if documents is None:
            # Those that it joins may be sealed nevertheless.
            documents = SealedResources(self.ring, "", _TYPES)
            return [documents.joined(stage) for stage in stages]
        return documents.pipeline(stages)

    def opened(self, command: Mapping[str, Any], answer: Document) -> Document:
        """Return the answer to a command with its documents opened."""
        cursor = answer.get("cursor")
        if cursor is None:
            return answer
        documents = self.documents(collection_of_results(_named(command), command.get("pipeline", ())))
        if documents is not None:
            cursor["firstBatch"] = [documents.opened(each) for each in cursor["firstBatch"]]
        return answer

    def results(self, cursor: Any) -> SealedResults:
        """Return the rows of several types that a pipeline makes, each with its `type`, opened."""
        return SealedResults(cursor, SealedResources(self.ring, "", _TYPES).opened)

    def files(self, bucket: str, piece: int) -> SealedFiles:
        """Return what seals the files of a bucket."""
        return SealedFiles(self.ring, bucket, piece)


def _named(command: Mapping[str, Any]) -> str:
    """Return the collection that a command names; empty where it is about the database."""
    name = command.get("find") or command.get("aggregate") or command.get("count")
    return name if isinstance(name, str) else ""
