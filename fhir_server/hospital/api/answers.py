"""The rows as the app sees them: the columns of the tables, without what is not the app's to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from fhir_server.hospital.api.fhir import Fhir
from fhir_server.hospital.api.fields import Amount
from mappings.accounts import user_family, users
from mappings.shared.elements import Resource
from mappings.shared.rows import Row


class Answer(BaseModel):
    """A row in an answer."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, row: Row, **more: Any) -> Self:
        """Return the answer for a row, with what is not a column of its table."""
        return cls.model_validate(row.model_dump() | more)


class MoneyAnswer(BaseModel):
    """An amount of money."""

    model_config = ConfigDict(from_attributes=True)

    amount: Amount
    currency: str | None


class UserAnswer(Answer):
    """A user."""

    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    profile_picture: str | None
    timezone: str | None
    language: str | None
    status: users.Status
    date_of_birth: date | None
    gender: users.Gender | None


class FamilyMemberAnswer(Answer):
    """A member of a user's family."""

    user_id: str | None
    name: str | None
    relation: user_family.Relation
    dob: date | None


async def user_answer(fhir: Fhir, patient: Resource) -> UserAnswer:
    """Return the answer for a Patient."""
    return UserAnswer.of(users.from_fhir(patient, created=await fhir.created_at(patient)))


async def family_answers(fhir: Fhir, people: Iterable[Resource]) -> list[FamilyMemberAnswer]:
    """Return the answers for RelatedPersons."""
    members = list(people)
    created: Mapping[str, datetime] = await fhir.created(members)
    return [FamilyMemberAnswer.of(user_family.from_fhir(item, created=created.get(item["id"]))) for item in members]
