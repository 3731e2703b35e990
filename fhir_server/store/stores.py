"""The stores of what is no resource: one of each for a server, made when it is first asked for."""

from __future__ import annotations

from functools import cached_property

from fhir_server.store.accounts.accounts import ClientStore, UserStore
from fhir_server.store.accounts.grants import GrantStore
from fhir_server.store.accounts.login_names import LoginNames
from fhir_server.store.accounts.password_resets import PasswordResets
from fhir_server.store.accounts.revocations import Revocations
from fhir_server.store.accounts.sign_in import SessionStore
from fhir_server.store.confirmations import Confirmations
from fhir_server.store.database.mongo import Database
from fhir_server.store.terminology.closures import ClosureTables
from fhir_server.store.terminology.kept import KeptResources
from fhir_server.store.work.async_requests import AsyncRequestStore
from fhir_server.store.work.bulk_imports import BulkImportStore
from fhir_server.store.work.erasures import ErasureStore
from fhir_server.store.work.exports import ExportStore
from fhir_server.store.work.idempotency import IdempotencyKeys
from fhir_server.store.work.imports import ImportStore
from fhir_server.store.work.jobs import JobStore
from fhir_server.store.work.loads import Loads
from fhir_server.store.work.mail_queue import MailQueue
from fhir_server.store.work.purges import PurgeStore
from fhir_server.store.work.subscriptions import SubscriptionStore


class Stores:
    """The stores on a database. They ask its primary, for what they keep is read to be changed."""

    def __init__(self, database: Database) -> None:
        self._database = database.primary

    @cached_property
    def exports(self) -> ExportStore:
        """Bulk exports, and their files."""
        return ExportStore(self._database)

    @cached_property
    def bulk_imports(self) -> BulkImportStore:
        """Bulk imports, and the lines that are still to be stored."""
        return BulkImportStore(self._database)

    @cached_property
    def async_requests(self) -> AsyncRequestStore:
        """Requests that are answered later."""
        return AsyncRequestStore(self._database)

    @cached_property
    def erasures(self) -> ErasureStore:
        """Erasures of patients, begun and done."""
        return ErasureStore(self._database)

    @cached_property
    def purges(self) -> PurgeStore:
        """Purges of versions that are under way."""
        return PurgeStore(self._database)

    @cached_property
    def imports(self) -> ImportStore:
        """What was imported of the hospital's tables."""
        return ImportStore(self._database)

    @cached_property
    def jobs(self) -> JobStore:
        """Leases and progress of jobs."""
        return JobStore(self._database)

    @cached_property
    def subscriptions(self) -> SubscriptionStore:
        """States and events of Subscriptions."""
        return SubscriptionStore(self._database)

    @cached_property
    def mails(self) -> MailQueue:
        """Mails that wait to be sent."""
        return MailQueue(self._database)

    @cached_property
    def loads(self) -> Loads:
        """What was loaded of files."""
        return Loads(self._database)

    @cached_property
    def idempotency_keys(self) -> IdempotencyKeys:
        """Answers kept for who asks again."""
        return IdempotencyKeys(self._database)

    @cached_property
    def users(self) -> UserStore:
        """Accounts."""
        return UserStore(self._database)

    @cached_property
    def clients(self) -> ClientStore:
        """Registered apps."""
        return ClientStore(self._database)

    @cached_property
    def login_names(self) -> LoginNames:
        """What people sign in with."""
        return LoginNames(self._database)

    @cached_property
    def password_resets(self) -> PasswordResets:
        """Codes that let a new password be chosen."""
        return PasswordResets(self._database)

    @cached_property
    def sessions(self) -> SessionStore:
        """Sessions of browsers."""
        return SessionStore(self._database)

    @cached_property
    def confirmations(self) -> Confirmations:
        """Addresses and numbers that wait to be confirmed."""
        return Confirmations(self._database)

    @cached_property
    def closures(self) -> ClosureTables:
        """Closure tables."""
        return ClosureTables(self._database)

    @cached_property
    def kept_resources(self) -> KeptResources:
        """Resources that terminology clients sent to be kept."""
        return KeptResources(self._database)

    @cached_property
    def grants(self) -> GrantStore:
        """What users have allowed apps, with the codes and tokens of it."""
        return GrantStore(self._database, Revocations(self._database))
