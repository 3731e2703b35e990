"""What is written down of an access before its answer leaves: a line of the journal."""

from __future__ import annotations

import msgspec

Detail = tuple[str, str]
"""A fact by its name, such as ("scope", "openid")."""


class Actor(msgspec.Struct, frozen=True, array_like=True):
    """Who acted: from where, with which client, and for which user; what is not known is empty."""

    address: str = ""
    client: str = ""
    user: str = ""
    username: str = ""
    fhir_user: str = ""


class EntryRecord(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a bundle: what was asked, how it ended, and the resource that came of it."""

    method: str
    url: str
    status: str
    location: str = ""


class AccessRecord(msgspec.Struct, frozen=True, array_like=True, tag="access"):
    """Who asked what, when and from where, and how it ended; `id` becomes the AuditEvent's."""

    id: str
    milliseconds: int
    actor: Actor
    method: str
    path: str
    query: str
    status: int
    patient: str = ""
    """The patient of the launch."""
    location: str = ""
    """What was made; of a bundle, whether it is a batch or a transaction."""
    entries: tuple[EntryRecord, ...] = ()
    event: str = ""
    """What it is, where it is no FHIR request; one of those that `kinds` knows."""
    reason: str = ""
    """Why it was refused, where the status does not tell."""
    details: tuple[Detail, ...] = ()
    patients: tuple[str, ...] = ()
    """The ids of the patients whose data the answer holds."""
    questions: tuple[str, ...] = ()
    """What was asked where the URL does not tell, as URLs."""
    request_id: str = ""
    """The id that the caller gave the request; one made here is the event's own."""


Record = AccessRecord

encode_record = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode
