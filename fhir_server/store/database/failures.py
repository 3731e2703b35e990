"""What the driver's errors mean to a caller, in the server's own error tree."""

from __future__ import annotations

import decimal
from types import TracebackType

import structlog
from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    PyMongoError,
    WTimeoutError,
)

from fhir_server.errors import Conflict, FhirError, TooLarge, Unavailable, Unprocessable
from fhir_server.store.database.outage import away

TRANSIENT = "TransientTransactionError"
"""The driver's label on an error after which the transaction is to be run again."""

# BSONObjectTooLarge, and an update's result that is.
_TOO_LARGE = frozenset({10334, 17419, 17420})
_DUPLICATE_KEY = 11000
_TRANSACTION_TOO_LARGE_FOR_CACHE = 388
# LockTimeout, MaxTimeMSExpired, WriteConflict, NoSuchTransaction, ExceededTimeLimit, TransactionExceededLifetimeLimit,
# TemporarilyUnavailable (the cache is full of changes that are not committed).
_BUSY = frozenset({24, 50, 112, 251, 262, 290, 365})

# Of a node that starts, stops, steps down, or has lost the others: HostUnreachable, HostNotFound, WriteConcernFailed,
# NetworkTimeout, ShutdownInProgress, UnsatisfiableWriteConcern, FailedToSatisfyReadPreference,
# ReadConcernMajorityNotAvailableYet, PrimarySteppedDown, NetworkInterfaceExceededTimeLimit, CursorKilled,
# ClientDisconnect, SocketException, NotWritablePrimary, InterruptedAtShutdown, Interrupted,
# InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, NotYetInitialized, OutOfDiskSpace.
_AWAY = frozenset(
    {6, 7, 64, 89, 91, 100, 133, 134, 189, 202, 237, 279, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 94, 14031}
)

log = structlog.get_logger(__name__)


class CacheFull(Unavailable):
    """A transaction was rolled back because it filled most of the database's cache."""


def _code(error: Exception) -> int | None:
    """Return MongoDB's number for what failed; a bulk write's own number only says that something did."""
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        faults = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        return faults[0].get("code") if faults else error.code
    return getattr(error, "code", None)


def translate(error: Exception) -> Exception:
    """Return the error of the server's own tree that says what a driver's error means to a caller."""
    code = _code(error)
    if isinstance(error, DocumentTooLarge) or code in _TOO_LARGE:
        return TooLarge("The resource is larger than the database can hold.")
    if isinstance(error, decimal.DecimalException):
        return Unprocessable("A decimal has more than 34 significant digits, or an exponent beyond 6144.", code="value")
    if isinstance(error, (BSONError, UnicodeEncodeError)):
        return Unprocessable("The resource holds a name or a text that the database cannot store.", code="value")
    # ConfigurationError: a node that is just starting does not say yet that it belongs to a replica set.
    if isinstance(error, (ConnectionFailure, ConfigurationError, ExecutionTimeout, WTimeoutError)) or code in _AWAY:
        log.warning("database.unavailable", kind=type(error).__name__, code=code)
        return away()
    if code in _BUSY or code == _TRANSACTION_TOO_LARGE_FOR_CACHE:
        log.warning("database.busy", kind=type(error).__name__, code=code)
        return (Unavailable if code in _BUSY else CacheFull)("The database is too busy now; try again.")
    if code == _DUPLICATE_KEY:  # where a caller could learn more from it, the store says more
        return Conflict("Another request has just stored the same; nothing was changed. Try again.", code="duplicate")
    log.error("database.failure", kind=type(error).__name__, code=code)
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
