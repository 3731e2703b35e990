"""What the driver's errors mean to a caller, in the server's own error tree."""

from __future__ import annotations

import decimal
from types import TracebackType

import structlog
from bson.errors import BSONError
from pymongo.errors import ConnectionFailure, DocumentTooLarge, ExecutionTimeout, PyMongoError, WTimeoutError

from fhir_server.errors import FhirError, TooLarge, Unavailable, Unprocessable

TRANSIENT = "TransientTransactionError"
"""The driver's label on an error after which the transaction is to be run again."""

# BSONObjectTooLarge, an update's result that is, and a transaction too large for the cache.
_TOO_LARGE = frozenset({10334, 17419, 17420, 315})

log = structlog.get_logger(__name__)


def translate(error: Exception) -> Exception:
    """Return the error of the server's own tree that says what a driver's error means to a caller."""
    if isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in _TOO_LARGE:
        return TooLarge("The resource is larger than the database can hold.")
    if isinstance(error, decimal.DecimalException):
        return Unprocessable("A decimal has more than 34 significant digits, or an exponent beyond 6144.", code="value")
    if isinstance(error, (BSONError, UnicodeEncodeError)):
        return Unprocessable("The resource holds a name or a text that the database cannot store.", code="value")
    if isinstance(error, (ConnectionFailure, ExecutionTimeout, WTimeoutError)):
        log.warning("database.unavailable", kind=type(error).__name__)
        return Unavailable("The database cannot be reached now; try again.")
    log.error("database.failure", kind=type(error).__name__, code=getattr(error, "code", None))
    return FhirError("The database refused the operation.")


class _Translated:
    """Turns a driver's error into one of the server's own, so that none of them leaves the store.

    One that a transaction is to be run again for passes: `Database.transaction` is waiting for it.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PyMongoError):
            if not error.has_error_label(TRANSIENT):
                raise translate(error) from error
        elif isinstance(error, (BSONError, decimal.DecimalException, UnicodeEncodeError)):
            raise translate(error) from error


translated = _Translated()
