"""Whether the display that was sent with a code is one of its own.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/languages.html#validation
"""

from __future__ import annotations

from terminology.model.codings import Coding
from terminology.model.concepts import Designation
from terminology.model.designations import Designations
from terminology.model.issues import Issue, Report, issue
from terminology.model.messages import alternatives
from terminology.model.options import Options

_WRONG = "Display_Name_for__should_be_one_of__instead_of"
_SPACES = "Display_Name_WS_for__should_be_one_of__instead_of"
_NONE = "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG"


class DisplayCheck:
    """Checks the displays of one request; `report` takes what is found."""

    def __init__(self, options: Options, report: Report) -> None:
        self._options = options
        self._report = report
        self._severity = "warning" if options.lenient_display else "error"

    def check(self, coding: Coding, designations: Designations, language: str | None, at: str) -> None:
        """Check the display of a code that is in the value set; `language` is that of its code system."""
        display, languages = coding.display or "", self._options.languages
        if not designations.has(display, languages):
            self._report.add(self._wrong(coding, designations, language, at), in_message=True)
        elif not designations.has(display, languages, active=True):
            shown = designations.current(languages)
            values = (display, coding.code, ", ".join(shown), designations.status(display))
            name = f"INACTIVE_DISPLAY_FOUND_{'one' if len(shown) == 1 else 'other'}"
            comment = issue("warning", "invalid", "display-comment", name, *values, at=at)
            self._report.add(comment)

    def _wrong(self, coding: Coding, designations: Designations, language: str | None, at: str) -> Issue:
        languages = self._options.languages
        choices = designations.displays(languages)
        if choices:
            return self._choose(coding, designations, choices, self._severity, at)
        texts = Designations([each for each in designations if each.value])
        shown = texts.preferred(None)
        if shown is None:
            return self._nothing(coding, at)
        values = (coding.display, coding.system, coding.code, self._options.language_summary, shown.value)
        if designations.has(coding.display or "", languages, base=language or "en"):
            return issue("information", "invalid", "invalid-display", f"{_NONE}_OK", *values, at=at)
        return issue(self._severity, "invalid", "invalid-display", f"{_NONE}_ERR", *values, at=at)

    def _nothing(self, coding: Coding, at: str) -> Issue:
        values = (coding.display, coding.system, coding.code)
        return issue("warning", "invalid", "invalid-display", "NO_VALID_DISPLAY_AT_ALL", *values, at=at)

    def check_outside(self, coding: Coding, designations: Designations, language: str | None, at: str) -> None:
        """Check the display of a code that is not in the value set, but in its code system."""
        display, languages = coding.display, self._options.languages
        if not display or not designations.items or designations.has(display, languages, base=language or "en"):
            return
        choices = designations.displays(languages)
        problem = (
            self._choose(coding, designations, choices, self._severity, at) if choices else self._nothing(coding, at)
        )
        self._report.add(problem, in_message=True)

    def _choose(
        self, coding: Coding, designations: Designations, choices: list[Designation], severity: str, at: str
    ) -> Issue:
        languages = self._options.languages
        name = _SPACES if designations.has_but_for_spaces(coding.display or "", languages) else _WRONG
        name += "_one" if len(choices) == 1 else "_other"
        listed = alternatives([_present(each) for each in choices])
        values = (len(choices), coding.system, coding.code, listed, coding.display, self._options.language_summary)
        return issue(severity, "invalid", "invalid-display", name, *values, at=at)


def _present(designation: Designation) -> str:
    language = f" ({designation.language})" if designation.language else ""
    return f"'{designation.value}'{language}"
