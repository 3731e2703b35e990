"""Users and clients: the accounts that may sign in, and the apps and services that may ask for tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from fhir_server.auth.accounts.user import Role, User, folded
from fhir_server.auth.clients.client import Client
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.errors import Conflict
from fhir_server.store.database.mongo import Database, Document, Session, translated

USERS = "oauth_users"
CLIENTS = "oauth_clients"


class UserStore:
    """Reads and stores users; a username is unique whatever its case."""

    def __init__(self, database: Database) -> None:
        self._users = database.collection(USERS)

    async def add(self, user: User) -> None:
        """Store a new user; raises Conflict where the username is taken."""
        with translated:
            try:
                await self._users.insert_one({"_id": user.id, **_document(user)})
            except DuplicateKeyError as error:
                raise Conflict(f"There is a user {user.username!r} already.", code="duplicate") from error

    async def remove(self, user_id: str) -> None:
        """Remove an account that nothing rests on yet."""
        with translated:
            await self._users.delete_one({"_id": user_id})

    async def find(self, user_id: str) -> User | None:
        """Return the user of that id."""
        return await self._find({"_id": user_id})

    async def find_by_name(self, username: str) -> User | None:
        """Return the user who signs in with that name."""
        return await self._find({"name": folded(username)})

    async def find_by_fhir_user(self, reference: str) -> User | None:
        """Return the user who is that resource."""
        return await self._find({"fhir_user": reference})

    async def of_fhir_users(self, references: Sequence[str]) -> dict[str, User]:
        """Return the users who are those resources, by reference."""
        with translated:
            users = await self._users.find({"fhir_user": {"$in": list(references)}}).to_list()
        return {document["fhir_user"]: _user(document) for document in users}

    async def ids_of(self, references: Sequence[str]) -> list[str]:
        """Return the ids of the users who are any of those resources."""
        if not references:
            return []
        with translated:
            users = await self._users.find({"fhir_user": {"$in": list(references)}}, {"_id": 1}).to_list()
        return [document["_id"] for document in users]

    async def taken(self, usernames: Sequence[str]) -> dict[str, str]:
        """Return the ids of the users who have these names, by folded name."""
        with translated:
            users = await self._users.find({"name": {"$in": [folded(name) for name in usernames]}}).to_list()
        return {document["name"]: document["_id"] for document in users}

    async def put(self, users: Sequence[User], session: Session | None = None) -> None:
        """Store users, new or changed, as part of a transaction where one is given."""
        changes = [UpdateOne({"_id": user.id}, {"$set": _document(user)}, upsert=True) for user in users]
        with translated:
            if changes:
                await self._users.bulk_write(changes, session=session)

    async def all(self) -> list[User]:
        """Return all users by name."""
        with translated:
            documents = await self._users.find().to_list()
        # Sorted here: in an encrypted database names have no order.
        return [_user(document) for document in sorted(documents, key=lambda each: str(each["name"]))]

    async def rename(self, user_id: str, username: str) -> None:
        """Change the username; raises Conflict where it is taken."""
        change = {"$set": {"name": folded(username), "username": username}}
        with translated:
            try:
                await self._users.update_one({"_id": user_id}, change)
            except DuplicateKeyError as error:
                raise Conflict("There is such a user already.", code="duplicate") from error

    async def change(
        self,
        user_id: str,
        *,
        password_hash: str | None = None,
        disabled: bool | None = None,
        role: Role | None = None,
    ) -> None:
        """Change what is given; what the user holds must be revoked besides."""
        changes = {"password": password_hash, "disabled": disabled, "role": role}
        with translated:
            await self._users.update_one(
                {"_id": user_id}, {"$set": {name: value for name, value in changes.items() if value is not None}}
            )

    async def _find(self, condition: Document) -> User | None:
        with translated:
            document = await self._users.find_one(condition)
        return _user(document) if document else None


def _document(user: User) -> Document:
    return {
        "name": folded(user.username),
        "username": user.username,
        "role": user.role,
        "fhir_user": user.fhir_user,
        "password": user.password_hash,
        "disabled": user.disabled,
    }


def _user(document: Document) -> User:
    return User(
        document["_id"],
        document["username"],
        document["role"],
        document["fhir_user"],
        document["password"],
        document["disabled"],
    )


UNUSED_UNTIL = "unused_until"
"""When a client that registered itself is removed; its first token takes the field away."""
_YOUNG = timedelta(hours=1)
"""So long a new registration has the time to be used, however many others there are."""


class ClientStore:
    """Reads and stores clients."""

    def __init__(self, database: Database) -> None:
        self._clients = database.collection(CLIENTS)

    async def prepare(self, keep: timedelta) -> None:
        """Let what an earlier build registered, and nobody has used, end as new registrations do."""
        unused = {"self_registered": True, "used": {"$exists": False}, UNUSED_UNTIL: {"$exists": False}}
        with translated:
            await self._clients.update_many(unused, {"$set": {UNUSED_UNTIL: datetime.now(UTC) + keep}})

    async def add(self, client: Client) -> None:
        """Store a new client; raises Conflict where there is one of that id."""
        with translated:
            await self._clients.insert_one(_client_document(client))

    async def add_unused(self, client: Client, keep: timedelta, most: int) -> bool:
        """Store a client that registered itself, to be removed after `keep` unless it has got a token by then.

        Of `most` that wait for their first token the one registered first gives way, unless all are younger than an
        hour: then return False, and nothing is stored.
        """
        now = datetime.now(UTC)
        with translated:
            waiting = await self._clients.count_documents({UNUSED_UNTIL: {"$gt": now}}, limit=most)
            if waiting >= most and not await self._remove_unused(now + keep - _YOUNG):
                return False
            await self._clients.insert_one({**_client_document(client), UNUSED_UNTIL: now + keep})
        return True

    async def _remove_unused(self, ends_before: datetime) -> bool:
        """Remove the unused client that ends first, if before that time; return whether there was one."""
        ending = {UNUSED_UNTIL: {"$lte": ends_before}}
        return await self._clients.find_one_and_delete(ending, sort=[(UNUSED_UNTIL, 1)]) is not None

    async def find(self, client_id: str) -> Client | None:
        """Return the client of that id."""
        with translated:
            document = await self._clients.find_one({"_id": client_id})
        return _client(document) if document else None

    async def named(self, client_ids: list[str]) -> dict[str, str]:
        """Return the names of the clients by their ids."""
        with translated:
            clients = await self._clients.find({"_id": {"$in": client_ids}}, {"name": 1}).to_list()
        return {client["_id"]: client["name"] for client in clients}

    async def all(self) -> list[Client]:
        """Return all clients by name."""
        with translated:
            return [_client(document) for document in await self._clients.find().sort("name").to_list()]

    async def remove(self, client_id: str) -> bool:
        """Remove the client and return whether there was one; what it holds must be revoked besides."""
        with translated:
            return (await self._clients.delete_one({"_id": client_id})).deleted_count == 1


def _client_document(client: Client) -> Document:
    return {
        "_id": client.id,
        "name": client.name,
        "authentication": client.authentication,
        "scopes": str(client.scopes),
        "redirect_uris": list(client.redirect_uris),
        "secret": client.secret_fingerprint,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "launch_url": client.launch_url,
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "self_registered": client.self_registered,
    }


def _client(document: Document) -> Client:
    return Client(
        id=document["_id"],
        name=document["name"],
        authentication=document["authentication"],
        scopes=parse_scopes(document["scopes"]),
        redirect_uris=tuple(document["redirect_uris"]),
        secret_fingerprint=document["secret"],
        jwks=document["jwks"],
        jwks_uri=document["jwks_uri"],
        launch_url=document["launch_url"],
        post_logout_redirect_uris=tuple(document.get("post_logout_redirect_uris", ())),
        self_registered=document["self_registered"],
    )
