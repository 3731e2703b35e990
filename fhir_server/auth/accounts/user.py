"""Who signs in: a user's account, and the FHIR resource that is the user."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhir_server.errors import BadRequest
from fhir_server.r4.ids import ID_PATTERN

Role: TypeAlias = Literal["patient", "practitioner", "admin"]
ROLES: tuple[Role, ...] = ("patient", "practitioner", "admin")

_FHIR_USER = re.compile(r"(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/" + ID_PATTERN)
LONGEST_USERNAME = 100


@dataclass(frozen=True, slots=True)
class User:
    """A user's account; `fhir_user` is a relative reference such as Patient/1."""

    id: str
    username: str
    role: Role
    fhir_user: str | None
    password_hash: str
    disabled: bool = False

    @property
    def patient(self) -> str | None:
        """The id of the patient that the user is, or None."""
        kind, _, resource_id = (self.fhir_user or "").partition("/")
        return resource_id if kind == "Patient" else None


def folded(username: str) -> str:
    """Return the name under which an account is found, so that case and Unicode form do not make two of one."""
    return unicodedata.normalize("NFKC", username).strip().casefold()


def require_valid(username: str, role: str, fhir_user: str | None) -> None:
    """Raise BadRequest where an account cannot be made of these."""
    if not folded(username) or len(username) > LONGEST_USERNAME or not username.isprintable():
        raise BadRequest(f"A username has 1 to {LONGEST_USERNAME} printable characters.")
    if role not in ROLES:
        raise BadRequest(f"A role is one of {', '.join(ROLES)}.")
    if fhir_user is not None and not _FHIR_USER.fullmatch(fhir_user):
        raise BadRequest("fhirUser is a reference such as Patient/1 or Practitioner/1.")
    if role == "patient" and not (fhir_user or "").startswith("Patient/"):
        raise BadRequest("A user of the role patient needs the Patient resource that the user is.")
