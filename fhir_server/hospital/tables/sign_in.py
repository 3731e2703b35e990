"""The accounts of the tables' users: what the import makes of them, and what the export reads."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.auth.accounts import login_names
from fhir_server.auth.accounts.user import LONGEST_USERNAME, User, folded
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.errors import Issue
from fhir_server.store.accounts.accounts import UserStore
from fhir_server.store.accounts.login_names import LoginNames
from fhir_server.store.work.imports import Imported
from mappings.accounts.users import User as UserRow

NO_PASSWORD = "!"  # noqa: S105 - what no password hashes to
"""In place of a hash: nobody can sign in before the password is set anew."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account to store, and the names that it signs in with."""

    user: User
    names: tuple[str, ...]
    password: str
    """Fingerprint of the password hash that the row came with."""
    notes: tuple[Issue, ...] = ()


@dataclass(slots=True)
class Accounts:
    """Makes accounts of rows: an account that exists is kept, and its password where it was changed here."""

    users: UserStore
    names: LoginNames
    existing: dict[str, User] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)

    async def look(self, rows: Sequence[UserRow]) -> None:
        """Read what there is of the rows' accounts, and who else has their names."""
        self.existing = await self.users.of_fhir_users([f"Patient/{row.id}" for row in rows])
        names = {name for row in rows for name in _names(row)[0]}
        self._owners = await self.names.owners(sorted(names))
        self._owners |= await self.users.taken([row.email for row in rows if row.email])

    def account(self, row: UserRow, imported: Imported | None) -> Account:
        """Return the account of a row, which was imported before where `imported` says so."""
        existing = self.existing.get(f"Patient/{row.id}")
        account_id = existing.id if existing else uuid.uuid4().hex
        names, notes = _names(row)
        free = [name for name in names if self._owners.setdefault(name, account_id) == account_id]
        notes += [_note(name.partition(":")[0], "is another user's: this one cannot sign in with it")
                  for name in names if name not in free]  # fmt: skip
        came, hashed = fingerprint(row.password_hash or ""), row.password_hash or NO_PASSWORD
        if existing is not None and (imported is None or fingerprint(_hash(existing) or "") != imported.password):
            hashed = existing.password_hash
            if imported is None or came != imported.password:
                notes.append(_note("password_hash", "was changed here, and stays as it is here"))
        disabled = row.status != "active" or row.deleted_at is not None
        user = User(account_id, self._username(row, account_id), "patient", f"Patient/{row.id}", hashed, disabled)
        return Account(user, tuple(free), came, tuple(notes))

    def _username(self, row: UserRow, account_id: str) -> str:
        email = row.email or ""
        if not email or len(email) > LONGEST_USERNAME or not email.isprintable():
            return account_id
        return email if self._owners.setdefault(folded(email), account_id) == account_id else account_id


async def password_hashes(store: UserStore, patient_ids: Sequence[str]) -> dict[str, str]:
    """Return the password hashes of the patients who have one, by id."""
    users = await store.of_fhir_users([f"Patient/{patient_id}" for patient_id in patient_ids])
    return {user.patient or "": hashed for user in users.values() if (hashed := _hash(user)) is not None}


def _hash(user: User) -> str | None:
    return None if user.password_hash == NO_PASSWORD else user.password_hash


def _names(row: UserRow) -> tuple[list[str], list[Issue]]:
    """Return the names that the row can sign in with, and what stands against the others."""
    if row.deleted_at is not None:
        return [], []
    names: list[str] = []
    notes: list[Issue] = []
    for column, read in (("email", login_names.email), ("phone", login_names.phone)):
        text = getattr(row, column)
        if text is None:
            continue
        try:
            normal = read(text)
        except ValueError:
            notes.append(_note(column, "is none that one can sign in with"))
        else:
            is_email = column == "email"
            names += login_names.names_of(normal if is_email else None, None if is_email else normal)
    return names, notes


def _note(column: str, text: str) -> Issue:
    return Issue("informational", f"{column}: {text}.", (f"users.{column}",), "information")
