"""One validation: what it may ask, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fhir_server.r4.profiles.items import Item
from fhir_server.r4.validation.faults import Fault, Scope

if TYPE_CHECKING:
    from fhir_server.r4.profiles.plans import Plans

Json = dict[str, Any]


class Membership(NamedTuple):
    """Whether one of the codings is in a value set, None where that cannot be judged; `why` says why (not)."""

    holds: bool | None
    why: str = ""


class Terminology(Protocol):
    """What is asked about codes; it may raise an exception of its own to have something loaded first."""

    def membership(self, value_set: str, codings: Sequence[Json], *, code_alone: bool) -> Membership:
        """Say whether one of the codings is in the value set of a canonical.

        `code_alone` says that they come from an element of type code, whose system the value set tells.
        """
        ...

    def is_code(self, system: str, version: str | None, code: str) -> bool | None:
        """Say whether the system has the code; None where that is not known."""
        ...


class NoTerminology:
    """No terminology: nothing can be judged."""

    def membership(self, value_set: str, codings: Sequence[Json], *, code_alone: bool) -> Membership:
        """Return that it cannot be judged."""
        return Membership(None)

    def is_code(self, system: str, version: str | None, code: str) -> bool | None:
        """Return that it is not known."""
        return None


Resolve = Callable[[str], Json | None]
"""Finds what a literal reference points to outside of the resource and its bundle; None where that is not known."""


def resolve_nothing(reference: str) -> Json | None:
    """Return None: what is stored is not looked at."""
    return None


@dataclass(slots=True)
class Run:
    """What one validation may ask, and the resource that it is in.

    `everything` says that warnings and information are wanted, too. `bundle` is the Bundle around the resource, and
    `full_url` the resource's in it. `under_way` are the profiles being checked, each with the value it is checked on.
    """

    plans: Plans
    scope: Scope
    terminology: Terminology = field(default_factory=NoTerminology)
    resolve: Resolve = resolve_nothing
    everything: bool = True
    bundle: Json | None = None
    full_url: str | None = None
    under_way: frozenset[tuple[str, int]] = frozenset()
    conformance: dict[tuple[str, int], bool] = field(default_factory=dict)
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    """By profile, the must-support elements that have no value."""

    def inside(self, scope: Scope, bundle: Json | None = None, full_url: str | None = None) -> Run:
        """Return the run as it goes on in another resource."""
        return replace(self, scope=scope, bundle=bundle or self.bundle, full_url=full_url or self.full_url)

    def checking(self, profile: str, value: object) -> Run | None:
        """Return the run as it goes on with a profile of a value; None where that is under way already."""
        key = (profile, id(value))
        return None if key in self.under_way else replace(self, under_way=self.under_way | {key})

    def conforms(self, profile: str, item: Item) -> bool:
        """Return whether a value breaks no rule of a profile; each value is looked at once in a run."""
        key = (profile, id(item.value))
        if key not in self.conformance:
            self.conformance[key] = True  # while it is looked at: what refers back to it does not decide
            apart = replace(self, everything=False, unsupported={})
            self.conformance[key] = not errors_in(self.plans.faults(profile, item, apart))
        return self.conformance[key]


def errors_in(faults: Sequence[Fault] | None) -> list[Fault]:
    """Return those faults that are errors."""
    return [each for each in faults or () if each.severity == "error"]
