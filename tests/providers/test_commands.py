"""The operator's commands for providers, and the file of the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.auth.providers.provider import parse_provider, parse_providers
from fhir_server.cli import providers as commands
from fhir_server.engine.providers.connected import configured
from fhir_server.errors import BadRequest
from fhir_server.store.database.data_directory import StartupError
from tests.identity_provider import CLIENT, MAPPING, SECRET, IdentityProvider
from tests.providers.test_tokens import TOKENS
from tests.smart_server import ORIGIN, SmartServer

PROVIDER: dict[str, Any] = {
    "id": "idp",
    "name": "Hospital",
    "issuer": "https://idp.test/realm",
    "client_id": CLIENT,
    "client_secret": SECRET,
}


async def test_a_provider_is_added_listed_and_removed(
    smart: SmartServer, idp: IdentityProvider, tmp_path: Path
) -> None:
    """What is told of it says what to register there, and never its secret; its removal ends what rests on it."""
    mapping, tokens = tmp_path / "mapping.json", tmp_path / "tokens.json"
    mapping.write_text(json.dumps(MAPPING))
    tokens.write_text(json.dumps(TOKENS))
    add = commands.add_provider(PROVIDER, mapping=mapping, tokens=tokens, unchecked=False)
    added = await add(smart.services, smart.store)
    assert added["redirect_uri"] == f"{ORIGIN}/oauth/providers/idp/callback"
    assert added["backchannel_logout_uri"] == f"{ORIGIN}/oauth/providers/idp/back_channel_logout"
    assert await commands.list_providers(smart.services, smart.store) == [added]
    assert SECRET not in json.dumps(added)
    stored = (await smart.store.providers.all())[0]
    assert stored == parse_provider(PROVIDER | {"accounts": MAPPING, "tokens": TOKENS})
    with pytest.raises(BadRequest, match="Two identity providers"):
        await add(smart.services, smart.store)
    await commands.remove_provider("idp")(smart.services, smart.store)
    assert await smart.store.providers.all() == []
    with pytest.raises(StartupError):
        await commands.remove_provider("idp")(smart.services, smart.store)


async def test_a_provider_that_does_not_answer_is_added_only_if_that_is_said(
    smart: SmartServer, idp: IdentityProvider
) -> None:
    """So that a mistake in the issuer is found at once."""
    idp.silent = True
    with pytest.raises(StartupError, match="cannot be used"):
        await commands.add_provider(PROVIDER, mapping=None, tokens=None, unchecked=False)(smart.services, smart.store)
    await commands.add_provider(PROVIDER, mapping=None, tokens=None, unchecked=True)(smart.services, smart.store)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"id": "Idp"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"name": ""}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"issuer": "http://idp.test"}, "internal"),
        ({"issuer": "https://idp.test?x=1"}, "issuer"),
        ({"issuer": "https://user@idp.test"}, "issuer"),
        ({"issuer": "javascript:alert(1)"}, "issuer"),
        ({"client_secret": None}, "client_secret"),
        ({"authentication": "none"}, "client_secret"),
        ({"scope": "profile"}, "scope"),
        ({"unheard": 1}, "unheard"),
        ({"accounts": {"roles": {"g": "patient"}}}, "roles"),
        ({"accounts": {"roles": {"g": "practitioner"}}}, "practitioner"),
        ({"accounts": {"roles": {"g": "king"}}}, "roles"),
        ({"accounts": {"clinics": {"g": "Harbour"}}}, "clinics"),
        ({"accounts": {"trust_patient_identifier": True}}, "patient"),
        ({"accounts": {"patient": {"claim": "n", "system": "no uri"}}}, "system"),
        ({"tokens": {"scopes": {"a": "nothing of SMART"}}}, "scopes"),
        ({"tokens": {"introspection_seconds": 3600}}, "introspection_seconds"),
    ],
)
def test_a_provider_that_cannot_be_meant_is_refused(changes: dict[str, Any], told: str) -> None:
    """By the name of the place, without a value: it may be a secret."""
    with pytest.raises(BadRequest, match=told) as refused:
        parse_provider({**PROVIDER, **changes})
    assert SECRET not in str(refused.value)


def test_the_file_of_the_settings(tmp_path: Path) -> None:
    """A JSON list; whatever is wrong with it keeps the server from starting, and is told."""
    path = tmp_path / "providers.json"
    assert configured(None) == ()
    for text in ("", "{}", "[1]", json.dumps([PROVIDER, PROVIDER]), json.dumps([PROVIDER | {"id": "Idp"}])):
        path.write_text(text)
        with pytest.raises(StartupError, match="cannot be used"):
            configured(path)
    path.write_text(json.dumps([PROVIDER]))
    assert configured(path) == parse_providers(path.read_bytes())
    with pytest.raises(StartupError):
        configured(tmp_path / "none.json")
