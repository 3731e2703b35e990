"""405 where a path takes other methods than a request's. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_REFUSED = "The method is not allowed here.\n"


class _Refusal:
    """Answers 405 to every request, naming the methods that there are."""

    def __init__(self, methods: Iterable[str]) -> None:
        self._allowed = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await PlainTextResponse(_REFUSED, 405, {"Allow": self._allowed})(scope, receive, send)


def refusals(routes: Iterable[Route]) -> Iterator[Route]:
    """Yield a route for each path of some that answers 405 to the methods that none of them takes.

    It comes after them, and before a mount that would take these requests for its own and find nothing.
    """
    methods: dict[str, set[str]] = {}
    for route in routes:
        methods.setdefault(route.path, set()).update(route.methods or ())
    for path, names in methods.items():
        yield Route(path, _Refusal(names), include_in_schema=False)
