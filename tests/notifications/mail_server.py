"""A mail server on the loopback, of the commands that a client needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_string, policy
from email.message import EmailMessage


@dataclass(slots=True)
class MailServer:
    """What arrived, and how the server is to answer."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    to_recipient: str = "250 OK"
    to_mail: str = "250 OK"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with one client."""
        writer.write(b"220 mail.test ready\r\n")
        while line := (await reader.readline()).decode().strip():
            command = line.split(" ")[0].split(":")[0].upper()
            writer.write(f"{await self._answer(command, reader, writer)}\r\n".encode())
            await writer.drain()
            if command == "QUIT":
                break
        writer.close()

    async def _answer(self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        if command == "RCPT":
            return self.to_recipient
        if command != "DATA":
            return "250 mail.test"
        writer.write(b"354 go on\r\n")
        text = (await reader.readuntil(b"\r\n.\r\n")).decode()
        if self.to_mail.startswith("250"):
            result = message_from_string(text.removesuffix("\r\n.\r\n"), policy=policy.default)
            assert isinstance(result, EmailMessage)
            self.mails.append(result)
        return self.to_mail


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Give a mail server on a free port."""
    made = MailServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
