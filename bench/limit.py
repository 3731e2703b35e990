"""The limit program: the database's share of each workload behind a bare ASGI application, and nothing else.

It knows nothing of FHIR: it stores documents of the shape and with the indexes that the server has, and sends bytes.
`uvicorn bench.limit:app`, the database in BENCH_DATABASE_URL.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient, WriteConcern
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.corpus import observation, patient

NAME = "bench_limit"
DOCUMENTS = 2000
GROUPS = 50
"""Each group has more documents than a page."""
_RESOURCE = patient(1, "limit")
_READING = observation("Patient/1", 1)
_DAY = datetime(1974, 12, 25, tzinfo=UTC)
_BYTES = json.dumps(_RESOURCE).encode()

_client: Any = AsyncMongoClient(os.environ["BENCH_DATABASE_URL"], maxPoolSize=16)
_documents: Any = _client[NAME].get_collection("documents", write_concern=WriteConcern("majority", j=True))


async def prepare(request: Request) -> Response:
    """Fill the collection that reads and searches use."""
    await _client.drop_database(NAME)
    for index in ([("keys", 1), ("_id", 1)], [("updated", -1), ("_id", 1)], [("shape", 1), ("_id", 1)]):
        await _documents.create_index(index)
    await _documents.create_index([("group", 1), ("date", -1)], sparse=True)
    sorted_ = [{"group": number % GROUPS, "date": number} for number in range(DOCUMENTS)]
    await _documents.insert_many([_document(str(number), _BYTES) | sorted_[number] for number in range(DOCUMENTS)])
    return Response(status_code=204)


async def read(request: Request) -> Response:
    """Find one document by its id."""
    found = await _documents.find_one({"_id": request.path_params["id"]}, {"json": 1})
    return Response(found["json"], media_type="application/json")


async def search(request: Request) -> Response:
    """Find one document by an indexed key."""
    found = await _documents.find_one({"keys": f"identifier={request.path_params['key']}"}, {"json": 1})
    return Response(found["json"], media_type="application/json")


async def page(request: Request) -> Response:
    """Find twenty documents of a group, sorted."""
    group = int(request.path_params["group"])
    found = await _documents.find({"group": group}, {"json": 1}).sort("date", -1).limit(20).to_list()
    return Response(b",".join(document["json"] for document in found), media_type="application/json")


async def insert(request: Request) -> Response:
    """Insert one document."""
    body = await request.body()
    await _documents.insert_one(_document(uuid.uuid4().hex, body))
    return Response(body, 201)


async def replace(request: Request) -> Response:
    """Replace one document."""
    body, name = await request.body(), request.path_params["id"]
    await _documents.replace_one({"_id": name}, _document(name, body))
    return Response(body)


async def bulk(request: Request) -> Response:
    """Insert as many documents as asked, the body shared out among them, in one transaction."""
    body, count = await request.body(), int(request.path_params["count"])
    size = max(1, len(body) // count)
    parts = (body[start * size : (start + 1) * size] for start in range(count))
    documents = [_document(uuid.uuid4().hex, part, _READING) for part in parts]
    async with _client.start_session() as session, await session.start_transaction():
        await _documents.insert_many(documents, session=session)
    return Response(status_code=204)


def _document(name: str, body: bytes, resource: dict[str, Any] = _RESOURCE) -> dict[str, Any]:
    return {
        "_id": name,
        "version": 1,
        "updated": datetime.now(UTC),
        "method": "POST",
        "json": body,
        "resource": resource,
        "keys": ["*", f"identifier={name}", *(f"parameter{number}=a value of some length" for number in range(15))],
        "ranges": {"birthdate": [{"l": _DAY, "h": _DAY}]},
        "sort": {"family": "miller", "given": "ann"},
        "shape": "active,address,birthdate,email,family,gender,given,identifier",
    }


app = Starlette(
    routes=[
        Route("/prepare", prepare, methods=["POST"]),
        Route("/read/{id}", read),
        Route("/search/{key}", search),
        Route("/page/{group}", page),
        Route("/insert", insert, methods=["POST"]),
        Route("/replace/{id}", replace, methods=["PUT"]),
        Route("/bulk/{count}", bulk, methods=["POST"]),
    ]
)
