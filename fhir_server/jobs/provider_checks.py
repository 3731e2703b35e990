"""The job that asks identity providers whether those who signed in with them still may."""

from __future__ import annotations

from functools import partial

from fhir_server.engine.providers.accounts import Accounts
from fhir_server.engine.providers.checks import check_due
from fhir_server.engine.providers.connected import Providers
from fhir_server.jobs.runner import Job
from fhir_server.store.work.jobs import Lease

_EVERY = 15.0


def provider_checks(accounts: Accounts, providers: Providers) -> Job:
    """Return the job."""
    return Job("provider-checks", partial(_check, accounts, providers), _EVERY)


async def _check(accounts: Accounts, providers: Providers, lease: Lease) -> None:
    while await check_due(accounts, providers):
        pass
