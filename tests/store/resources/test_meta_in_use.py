"""The profiles, labels and tags in use, for callers who see few, many or all resources."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.search.index.keys import EVERY
from fhir_server.search.query.conditions import HasKey
from fhir_server.store.resources import meta_in_use


async def _store(client: httpx.AsyncClient, number: int, gender: str, **meta: Any) -> None:
    resource = {"resourceType": "Patient", "id": f"p{number}", "gender": gender, "meta": meta}
    (await client.put(f"Patient/p{number}", json=resource)).raise_for_status()


@pytest.mark.parametrize("few", [1, 1000])
async def test_only_what_the_caller_sees_counts(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whether few or many resources meet the access rule: what the others bear is not told, what they share is."""
    monkeypatch.setattr(meta_in_use, "_FEW", few)
    for number in range(4):
        await _store(client, number, "male", tag=[{"code": "both"}, {"code": "male"}], profile=["urn:both"])
    await _store(client, 4, "female", tag=[{"code": "both"}, {"code": "female"}], profile=["urn:both"])
    result = await meta_in_use.metas_in_use(services.search, "Patient", HasKey(("gender=female",)), None)
    assert {tag["code"] for meta in result for tag in meta["tag"]} == {"both", "female"}
    assert {profile for meta in result for profile in meta["profile"]} == {"urn:both"}


async def test_a_resource_that_is_kept_as_a_file_counts(client: httpx.AsyncClient, services: Services) -> None:
    """The tags of what is beyond the size of a document are read from its file, for every kind of caller."""
    data = "YWFh" * 300_000
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": data}
    await client.put("Binary/b", json=binary | {"meta": {"tag": [{"code": "large"}]}})
    for where in (None, HasKey((EVERY,))):
        (meta,) = await meta_in_use.metas_in_use(services.search, "Binary", where, None)
        assert meta["tag"] == [{"code": "large"}]
