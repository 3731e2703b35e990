"""Which jobs a serving worker attends to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fhir_server.engine.context import Services
from fhir_server.hospital.billing.job import card_payments
from fhir_server.hospital.gateways.card import Gateway
from fhir_server.hospital.notifications import job as notifications
from fhir_server.hospital.notifications.mail_job import mail
from fhir_server.hospital.notifications.reminders_job import reminders
from fhir_server.hospital.profiles.job import definitions
from fhir_server.jobs import subscriptions
from fhir_server.jobs.async_requests import async_requests
from fhir_server.jobs.backups import backups
from fhir_server.jobs.blob_sweep import blob_sweep
from fhir_server.jobs.bulk_imports import bulk_imports
from fhir_server.jobs.erasures import erasures
from fhir_server.jobs.exports import exports
from fhir_server.jobs.index_upgrade import index_upgrade
from fhir_server.jobs.key_rotation import key_rotation
from fhir_server.jobs.runner import Job, Runner
from fhir_server.jobs.search_parameters import search_parameters


def jobs(services: Services, base_url: str, gateway: Gateway) -> list[Job]:
    """Return the jobs; `base_url` is that of the FHIR base, below which references count as relative."""
    every_job: list[Job] = [
        search_parameters(services, base_url),
        blob_sweep(services.resources.blobs),
        erasures(services, base_url),
        exports(services),
        bulk_imports(services),
        index_upgrade(services, base_url),
        async_requests(services),
        subscriptions.subscriptions(services, base_url),
        notifications.notifications(services, base_url),
        reminders(services, base_url),
        card_payments(services, base_url, gateway),
    ]
    if services.keys is not None:
        every_job.append(key_rotation(services))
    if services.settings.backup_dir is not None:
        every_job.append(backups(services.settings, services.settings.backup_dir))
    if services.settings.smtp_host:
        every_job.append(mail(services, base_url))
    if services.settings.publish_definitions:
        every_job.append(definitions(services, base_url))
    return every_job


@asynccontextmanager
async def background(services: Services, base_url: str, gateway: Gateway, *others: Job) -> AsyncIterator[None]:
    """Attend to the jobs, and to others, meanwhile; what is written from now on will be told."""
    await notifications.feed(services).begin()
    await subscriptions.feed(services).begin()
    every_job = [*jobs(services, base_url, gateway), *others]
    runner = Runner(services.stores.jobs, services.following.worker, every_job)
    deliveries = subscriptions.Deliveries(services, base_url)
    runner.start()
    deliveries.start()
    try:
        yield
    finally:
        await deliveries.stop()
        await runner.stop()
