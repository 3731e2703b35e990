"""The websocket of Subscriptions: a client says what it is to be bound to, and is told of its events.

`bind ID` is R4's, for a connection that came with an access token; `bind-with-token TOKEN` takes the token of
$get-ws-binding-token, since a browser can send no header. https://hl7.org/fhir/R4/subscription.html#2.46.7.2
"""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from fhir_server.auth.permission.access import NoAccess
from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.context import Services
from fhir_server.engine.subscriptions.binding import MOST, binding_of
from fhir_server.engine.subscriptions.registration import TYPE, acts_by_same_rights
from fhir_server.engine.subscriptions.sockets import Ended, Socket, Sockets
from fhir_server.errors import FhirError
from fhir_server.http.bearer import Authenticate
from fhir_server.http.client_address import client_address

_BIND_SECONDS = 30.0
"""How long a connection may stay without being bound to anything."""
_POLICY, _TOO_MANY, _AWAY = 1008, 1013, 1011
_LONGEST = 4096


class SubscriptionSocket:
    """Serves the sockets of one worker."""

    def __init__(self) -> None:
        self.sockets: Sockets | None = None
        self.authenticate: Authenticate | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection until either side closes it."""
        sockets = self.sockets
        address = client_address(websocket.scope)
        socket = sockets.open(address.text if address.is_client else "") if sockets is not None else None
        if sockets is None or socket is None:
            await websocket.close(_TOO_MANY)
            return
        try:
            access = await self._access(websocket)
        except FhirError:
            sockets.close(socket)
            await websocket.close(_POLICY)
            return
        await websocket.accept()
        connection = _Connection(websocket, sockets, socket, access)
        try:
            await connection.run()
        finally:
            sockets.close(socket)

    async def _access(self, websocket: WebSocket) -> Access:
        if self.authenticate is None:
            return OpenAccess()
        return await self.authenticate({name.lower(): value for name, value in websocket.headers.items()})


async def refuse(websocket: WebSocket) -> None:
    """Refuse a connection: there is no other websocket than that of Subscriptions."""
    await websocket.close(_POLICY)


class _Connection:
    """One client: a task reads what it asks for, another says what there is."""

    def __init__(self, websocket: WebSocket, sockets: Sockets, socket: Socket, access: Access) -> None:
        self._websocket = websocket
        self._sockets = sockets
        self._socket = socket
        self._access = access
        self._over = False
        self._saying = asyncio.Lock()

    async def run(self) -> None:
        telling = asyncio.create_task(self._tell(), name="subscriptions: socket")
        expiry = asyncio.get_running_loop().call_later(_BIND_SECONDS, self._expire)
        try:
            while not self._over:
                text = await self._websocket.receive_text()
                await self._bind_by_text(text)
        except (WebSocketDisconnect, RuntimeError, KeyError):  # KeyError: what came is no text
            pass
        finally:
            expiry.cancel()
            self._over = True
            self._socket.news.set()
            await telling

    def _expire(self) -> None:
        if not self._socket.bound:
            self._over = True
            self._socket.news.set()

    async def _bind_by_text(self, text: str) -> None:
        word, _, name = text[:_LONGEST].strip().partition(" ")
        name = name.strip()
        if word == "bind" and name:
            await self._bind([name] if await self._may_bind(name) else [], name)
        elif word == "bind-with-token" and name:
            binding = binding_of(self._sockets.services, name)
            await self._bind(list(binding.subscriptions) if binding else [], "the token")
        elif word == "unbind" and name:
            self._socket.bound.pop(name, None)
            await self._say(f"unbound {name}")
        else:
            await self._say("error: say bind ID, bind-with-token TOKEN or unbind ID")

    async def _may_bind(self, subscription: str) -> bool:
        """Return whether the connection's own token is of the Subscription's owner and rights."""
        access = self._access
        if isinstance(access, NoAccess):
            return False
        services: Services = self._sockets.services
        where = access.visible(TYPE, "read")
        version = await services.resources.read(TYPE, subscription, where=where)
        return version is not None and not version.deleted and acts_by_same_rights(access, version)

    async def _bind(self, subscriptions: list[str], name: str) -> None:
        if not subscriptions:
            await self._say(f"error: {name[:80]} cannot be bound")
        for subscription in subscriptions:
            if len(self._socket.bound) >= MOST:
                await self._say(f"error: a socket is bound to at most {MOST} Subscriptions")
                return
            try:
                await self._say(await self._sockets.bind(self._socket, subscription))
            except Ended as ended:
                await self._say(f"error: {subscription} cannot be bound: {ended}")

    async def _tell(self) -> None:
        """Say what there is to the Subscriptions, for as long as the connection lasts."""
        try:
            while True:
                await self._socket.news.wait()
                self._socket.news.clear()
                if self._over:
                    break
                for subscription in list(self._socket.bound):
                    await self._tell_of(subscription)
        except (WebSocketDisconnect, RuntimeError):
            return
        except FhirError:
            await self._close(_AWAY)
            return
        await self._close(_POLICY)

    async def _tell_of(self, subscription: str) -> None:
        try:
            async for text in self._sockets.messages(self._socket, subscription):
                await self._say(text)
        except Ended as ended:
            self._socket.bound.pop(subscription, None)
            await self._say(f"error: {subscription}: {ended}")

    async def _say(self, text: str) -> None:
        async with self._saying:
            await self._websocket.send_text(text)

    async def _close(self, code: int) -> None:
        try:
            async with self._saying:
                await self._websocket.close(code)
        except (WebSocketDisconnect, RuntimeError):
            return  # it is closed already
