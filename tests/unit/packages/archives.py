"""Small packages, made in memory."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def manifest(name: str = "test.one", version: str = "1.0.0", **more: Any) -> Json:
    """Return a package.json."""
    return {"name": name, "version": version, "fhirVersions": ["4.0.1"], "dependencies": {}, **more}


def archive(described: Json | None, *resources: Json, files: Mapping[str, bytes] | None = None) -> bytes:
    """Return the .tgz of a package with these resources, and further files by their paths."""
    members = {f"package/{each['resourceType']}-{each['id']}.json": json.dumps(each).encode() for each in resources}
    if described is not None:
        members["package/package.json"] = json.dumps(described).encode()
    return tgz(members | dict(files or {}))


def tgz(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of plain files."""
    return packed([(plain(name, len(content)), content) for name, content in members.items()])


def plain(name: str, size: int) -> tarfile.TarInfo:
    """Return the head of a plain file."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an archive of members as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def value_set(name: str, base: str = "http://example.org", version: str = "1.0.0", **more: Any) -> Json:
    """Return a value set of two genders."""
    include = {"system": "http://hl7.org/fhir/administrative-gender", "concept": [{"code": "male"}, {"code": "female"}]}
    return {
        "resourceType": "ValueSet",
        "id": name,
        "url": f"{base}/ValueSet/{name}",
        "version": version,
        "status": "active",
        "compose": {"include": [include]},
        **more,
    }


def profile(name: str, on: str = "http://hl7.org/fhir/StructureDefinition/Patient", **more: Any) -> Json:
    """Return a profile that says nothing new."""
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": f"http://example.org/StructureDefinition/{name}",
        "version": "1.0.0",
        "name": name.title(),
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": on,
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
        **more,
    }


def search_parameter(code: str, expression: str, **more: Any) -> Json:
    """Return a search parameter on Patient, of type string."""
    return {
        "resourceType": "SearchParameter",
        "id": f"patient-{code}",
        "url": f"http://example.org/SearchParameter/patient-{code}",
        "name": code,
        "status": "draft",
        "description": code,
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": expression,
        **more,
    }
