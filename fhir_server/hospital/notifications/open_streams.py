"""The notification streams that a worker holds open: how many there may be, and which of them must end.

One look a second serves them all. A stream that looked by itself would cost a timer and a look a second, and a query
of its own after each revocation, whoever's it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.engine.access import Access
from fhir_server.errors import FhirError
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.notifications.live import Listener
from fhir_server.http.stopping import Stopping
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.work.ending import end

LOOK_SECONDS = 1.0
_RETRY_SECONDS = 30


@dataclass(eq=False, slots=True)
class OpenStream:
    """One stream to one user."""

    user: str
    token: str
    """The fingerprint of the access token."""
    expires: datetime
    listener: Listener | None = None
    is_over: bool = False
    """Whether the token has ended."""
    is_left: bool = False
    """Whether the client has gone, or the server stops."""
    _under: int | None = None
    """The number of revocations under which the token was last found to live."""

    def leave(self) -> None:
        """Let the stream end without a word."""
        self.is_left = True
        self.wake()

    def wake(self) -> None:
        """Let the stream see what has changed."""
        if self.listener is not None:
            self.listener.wake()


class OpenStreams:
    """The open streams of one worker."""

    def __init__(self, store: OAuthStore[Access], stopping: Stopping, settings: Settings) -> None:
        self._store = store
        self._stopping = stopping
        self._settings = settings
        self._streams: set[OpenStream] = set()
        self._users: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def require_room(self, user: str) -> None:
        """Raise Problem where the user, or everybody together, has as many streams as there may be."""
        if self._stopping.signalled:
            raise Problem("unavailable", headers={"Retry-After": "5"})
        settings = self._settings
        if self._users[user] >= settings.max_streams_per_user or len(self._streams) >= settings.max_streams:
            raise Problem("too_many_streams", headers={"Retry-After": str(_RETRY_SECONDS)})

    def open(self, user: str, secret: str, token: BearerToken) -> OpenStream:
        """Return a new stream, to be given back by `close_stream`; raises Problem where there is no room for it."""
        self.require_room(user)
        stream = OpenStream(user, fingerprint(secret), token.expires)
        self._streams.add(stream)
        self._users[user] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())
        return stream

    def close_stream(self, stream: OpenStream) -> None:
        """Make room for another stream."""
        if stream in self._streams:
            self._streams.discard(stream)
            self._users -= Counter([stream.user])

    async def may_tell(self, stream: OpenStream) -> bool:
        """Return whether the token still lives now; raises FhirError where that cannot be found out."""
        number = await self._store.revocations.current()
        for _ in range(2):  # a look that had begun before the stream was opened has not seen it
            if number is None or stream._under != number:
                await self._look_together()
        return not stream.is_over

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            await end(self._task)

    async def _look_on(self) -> None:
        while self._streams:
            if self._stopping.signalled:
                for stream in self._streams:
                    stream.leave()
            with suppress(FhirError):  # not known now; the next look will tell
                await self._look_together()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_together(self) -> None:
        """Look, or wait for the look that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        """Let those streams end whose token has."""
        now = datetime.now(UTC)
        _end(stream for stream in self._streams if stream.expires <= now)
        number = await self._store.revocations.current()
        unsure = [stream for stream in self._streams if number is None or stream._under != number]
        if not unsure:
            return
        living = await self._store.tokens.living({stream.token for stream in unsure})
        _end(stream for stream in unsure if stream.token not in living)
        for stream in unsure:
            stream._under = number


def _end(streams: Iterator[OpenStream]) -> None:
    for stream in list(streams):
        stream.is_over = True
        stream.wake()
