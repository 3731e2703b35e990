"""An unmodified backend client from PyPI gets a token by private_key_jwt and reads: cumulus-fhir-support."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cumulus_fhir_support as cumulus
import pytest
from joserfc.jwk import ECKey, RSAKey

from fhir_server.cli import accounts
from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.smart.over_http import free_port, served


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_a_backend_client_authenticates_with_its_key_and_reads(
    mongod_url: str, database: Database, tmp_path: Path, algorithm: str
) -> None:
    """Discovery, a signed assertion, the token, a read and a search; and nothing without the key."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    settings = Settings(port=port, database_url=mongod_url, database_name=database.name, data_dir=tmp_path)
    app = create_app(settings.model_copy(update={"log_level": "critical"}))
    pair = RSAKey.generate_key(2048) if algorithm == "RS384" else ECKey.generate_key("P-384")
    about = {"kid": "k1", "alg": algorithm}
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{**pair.as_dict(private=False), **about, "key_ops": ["verify"]}]}))
    own_keys = {"keys": [{**pair.as_dict(private=True), **about, "key_ops": ["sign"]}]}
    async with served(app, port):
        services, store = app.state.services, app.state.oauth.store
        resource = {"resourceType": "Patient", "id": "a", "name": [{"family": "Miller"}]}
        await handle(Context(services, base), Request("PUT", "Patient/a", resource=resource))
        form: Any = {"secret": False, "redirect_uris": [], "jwks": path, "jwks_uri": None, "launch_url": None}
        made = await accounts.add_client("Warehouse", "system/Patient.rs", **form)(services, store)
        async with cumulus.FhirClient(
            base, ["Patient"], smart_client_id=made["client_id"], smart_jwks=own_keys
        ) as client:
            read = await client.request("GET", "Patient/a")
            assert read.json()["name"] == [{"family": "Miller"}]
            assert (await client.request("GET", "Patient?family=miller")).json()["total"] == 1
        stranger = RSAKey.generate_key(2048)
        forged = {"keys": [{**stranger.as_dict(private=True), "kid": "k1", "alg": "RS384", "key_ops": ["sign"]}]}
        with pytest.raises(cumulus.AuthFailed):
            async with cumulus.FhirClient(base, ["Patient"], smart_client_id=made["client_id"], smart_jwks=forged):
                pass
