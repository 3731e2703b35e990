"""Issues that operations report, and the errors that end them.

An issue has a text and an id from `messages`, a code from FHIR's IssueType, and a type from the terminology
ecosystem's own list. https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from terminology.model.effort import effort
from terminology.model.messages import message

_ISSUES_A_STEP = 50
"""Issues that cost as much to compare with as one step of other work."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One entry of OperationOutcome.issue: `expression` is the place in the request, empty where there is none."""

    severity: str
    code: str
    text: str
    kind: str | None = None
    message_id: str | None = None
    expression: str = ""


def issue(severity: str, code: str, kind: str | None, name: str, *values: object, at: str = "") -> Issue:
    """Return an issue with the text of the catalogue's message `name`; `at` is the place in the request."""
    text = message(name, *values)
    return Issue(severity, code, text.text, kind, text.name, at)


class TerminologyError(Exception):
    """What keeps an operation from answering: the request or the content it needs is at fault, never the server.

    `code` is the IssueType of the first issue: `invalid`, `required`, `not-found`, `not-supported`, `business-rule`,
    `processing`, `too-costly` or `exception`.
    """

    def __init__(self, *issues: Issue) -> None:
        super().__init__(issues[0].text)
        self.issues = issues

    @property
    def code(self) -> str:
        """The IssueType of the first issue."""
        return self.issues[0].code


class UnresolvedReference(TerminologyError):
    """A value set or code system that a value set refers to is unknown: `$validate-code` answers with it, rather than
    fail; `unknown_system` is set where it is a code system.
    """

    def __init__(self, *issues: Issue, unknown_system: str | None = None) -> None:
        super().__init__(*issues)
        self.unknown_system = unknown_system


def invalid(text: str, *, code: str = "invalid", at: str = "") -> TerminologyError:
    """Return an error about a request, in words of its own."""
    return TerminologyError(Issue("error", code, text, expression=at))


def process_note(text: str, at: str) -> Issue:
    """Return a note about what was not checked."""
    return Issue("information", "informational", text, "process-note", None, at)


@dataclass(slots=True)
class Report:
    """The issues of one operation, each once, and the texts that its message joins."""

    issues: list[Issue] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, added: Issue, *, in_message: bool | None = None) -> bool:
        """Add an issue, unless it is there, and its text to the message; by default an error's text alone."""
        if self._has(added):
            return False
        self.issues.append(added)
        if added.severity == "error" if in_message is None else in_message:
            self.say(added.text)
        return True

    def _has(self, other_issue: Issue) -> bool:
        effort(len(self.issues) // _ISSUES_A_STEP)
        return any(
            (other.text, other.expression, other.severity)
            == (other_issue.text, other_issue.expression, other_issue.severity)
            for other in self.issues
        )

    def say(self, text: str) -> None:
        """Add a text to the message, unless it is there."""
        if text not in self.texts:
            self.texts.append(text)

    def replace(self, old: Issue, new: Issue) -> None:
        """Put an issue in the place of another, in the message too."""
        self.issues[self.issues.index(old)] = new
        self.texts = [text for text in self.texts if text != old.text]
        self.say(new.text)

    @property
    def has_errors(self) -> bool:
        """Whether an error was reported."""
        return any(each.severity == "error" for each in self.issues)

    @property
    def message(self) -> str | None:
        """The texts, sorted, or None where there is nothing to say."""
        return "; ".join(sorted(self.texts)) or None

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)
