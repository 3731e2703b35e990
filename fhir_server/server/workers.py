"""Several worker processes under one parent: what differs from uvicorn's own way of keeping them."""

from __future__ import annotations

from socket import socket

from uvicorn.config import Config
from uvicorn.supervisors import Multiprocess

from fhir_server.http.stopping import ENDS_WITHIN, end_within, refuse_hangup


def serve_by_workers(config: Config) -> None:
    """Serve until interrupted; a worker that ends is replaced."""
    Workers(config, sockets=[config.bind_socket()]).run()


class Workers(Multiprocess):
    """The parent of the workers: it ends in time whatever they do, and SIGHUP replaces none of them."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        refuse_hangup()

    def handle_int(self) -> None:
        """Stop."""
        end_within(ENDS_WITHIN)
        super().handle_int()

    def handle_term(self) -> None:
        """Stop."""
        end_within(ENDS_WITHIN)
        super().handle_term()
