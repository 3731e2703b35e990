"""Validating codes against a value set or a code system.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from terminology.content.provider import CodeSystem, Source
from terminology.model.codings import Coding
from terminology.model.concepts import Json
from terminology.model.issues import Issue, Report, UnresolvedReference, invalid, issue
from terminology.model.options import Options
from terminology.model.value_sets import ValueSet, value_set_of
from terminology.model.versions import canonical, latest
from terminology.operations.context import Context, Limits
from terminology.operations.display_check import DisplayCheck
from terminology.operations.membership import Finding, Inactive, MembershipCheck, Question, at
from terminology.operations.selection import Selector
from terminology.operations.statuses import reliability_of, warning_issue

CODE, CODING, CODEABLE_CONCEPT = "", "Coding", "CodeableConcept"
NO_CODE = (
    "Unable to find code to validate (looked for coding | codeableConcept | code+system | code+inferSystem "
    "in parameters"
)
_UNKNOWN = {"UNKNOWN_CODESYSTEM", "UNKNOWN_CODESYSTEM_VERSION", "UNKNOWN_CODESYSTEM_VERSION_NONE"}


@dataclass(slots=True)
class ValidateRequest:
    """What to validate, and against what: `value_set` itself or by `url` and `version`, or a code system alike.

    `path` is how the codings came: CODE, CODING or CODEABLE_CONCEPT; `concept` is the CodeableConcept as it was sent.
    """

    codings: list[Coding]
    path: str = CODING
    concept: Json | None = None
    url: str | None = None
    version: str | None = None
    resource: Json | None = None
    options: Options = field(default_factory=lambda: Options(validating=True))
    resources: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Validation:
    """Whether the codings are valid, why not, and which code, version and display that was judged by."""

    valid: bool
    issues: list[Issue] = field(default_factory=list)
    message: str | None = None
    system: str | None = None
    version: str | None = None
    code: str | None = None
    display: str | None = None
    inactive: bool = False
    status: str | None = None
    normal_form: str | None = None
    unknown_systems: list[str] = field(default_factory=list)
    caused_by_unknown_systems: list[str] = field(default_factory=list)
    concept: Json | None = None


def validate_in_value_set(request: ValidateRequest, source: Source, limits: Limits | None = None) -> Validation:
    """Return whether the codings are in a value set: a CodeableConcept is where one of its codings is.

    Raises TerminologyError: for an unknown value set (UnresolvedReference), for a request or a value set that is at
    fault. What the value set refers to and is unknown, is a result.
    """
    context = Context.of(source, request.options, request.resources, limits)
    value_set = context.requested_value_set(request.resource, request.url, request.version)
    if not request.codings:
        raise invalid(NO_CODE)
    context.adopt(value_set)
    selector = Selector(context)
    check = MembershipCheck(context, selector)
    try:
        check.prepare(value_set)
        context.check_supplements()
        return _Validator(request, value_set, context, check, of_code_system=False).run()
    except UnresolvedReference as error:
        return _unresolved(error, request, context)


def validate_in_code_system(request: ValidateRequest, source: Source, limits: Limits | None = None) -> Validation:
    """Return whether the codings are codes of a code system: the one that is named, or that of the first coding."""
    if not request.codings:
        raise invalid(NO_CODE)
    resources = [*request.resources, request.resource] if request.resource else request.resources
    context = Context.of(source, request.options, resources, limits)
    try:
        system = _requested_code_system(request, context)
    except UnresolvedReference as error:
        return _unresolved(error, request, context)
    context.check_supplements()
    every = value_set_of(system.info)
    check = MembershipCheck(context, Selector(context))
    codings = [_of_system(each, system) if request.path == CODE else each for each in request.codings]
    judged = ValidateRequest(codings, request.path, request.concept, options=request.options)
    return _Validator(judged, every, context, check, of_code_system=True).run()


def _of_system(coding: Coding, system: CodeSystem) -> Coding:
    return Coding(coding.system or system.info.url, coding.version, coding.code, coding.display)


def _requested_code_system(request: ValidateRequest, context: Context) -> CodeSystem:
    first = request.codings[0]
    path = f"{request.path}.coding[0]" if request.path == CODEABLE_CONCEPT else request.path
    url = (request.resource or {}).get("url") or request.url or first.system
    if not url:
        raise UnresolvedReference(
            issue("warning", "invalid", "invalid-data", "Coding_has_no_system__cannot_validate", at=path)
        )
    stated = (request.resource or {}).get("version") or request.version
    version = context.resolve_version(url, stated or (None if request.url else first.version))
    system = context.code_system(url, version, rules=False)
    if system is not None:
        return system
    raise UnresolvedReference(*_why_no_system(url, version, context, at(path, "system")), unknown_system=url)


def _why_no_system(url: str, version: str | None, context: Context, place: str) -> list[Issue]:
    """Return why there is no code system of a url: it is something else, relative, or not known."""
    supplement = context.source.supplement(url, None)
    if supplement is not None:
        name = canonical(url, supplement.get("version"))
        return [issue("error", "invalid", "invalid-data", "CODESYSTEM_CS_NO_SUPPLEMENT", name, at=place)]
    if context.value_set(url) is not None:
        return [issue("error", "invalid", "invalid-data", "Terminology_TX_System_ValueSet2", url, at=place)]
    issues = [context.unknown_code_system(url, version, at=place)]
    if not is_absolute(url):
        issues.append(issue("error", "invalid", "invalid-data", "Terminology_TX_System_Relative", at=place))
    return issues


def is_absolute(url: str) -> bool:
    """Whether a system is an absolute URI, not a local name."""
    scheme, colon, rest = url.partition(":")
    return bool(colon and rest and scheme.replace("+", "").replace("-", "").isalnum() and scheme[0].isalpha())


def _unresolved(error: UnresolvedReference, request: ValidateRequest, context: Context) -> Validation:
    """Return the result for a reference of the value set, or a system of the coding, that leads nowhere."""
    report = Report()
    for problem in error.issues:
        report.add(problem, in_message=True)
    first = request.codings[0]
    result = Validation(False, report.issues, report.message, concept=request.concept)
    if request.path != CODEABLE_CONCEPT:
        system = context.code_system(first.system) if first.system else None
        result.system, result.code = first.system, first.code
        result.version = first.version or (system.info.version if system else None)
    if error.unknown_system:
        result.caused_by_unknown_systems = [error.unknown_system]
    return result


@dataclass(slots=True)
class _Match:
    """The coding that stands for all in the result."""

    coding: Coding
    path: str
    system: str | None = None
    version: str | None = None
    display: str | None = None


class _Validator:
    """Validates the codings of one request."""

    def __init__(
        self,
        request: ValidateRequest,
        value_set: ValueSet,
        context: Context,
        check: MembershipCheck,
        *,
        of_code_system: bool,
    ) -> None:
        self._request = request
        self._value_set = value_set
        self._context = context
        self._check = check
        self._report = check.report
        self._displays = DisplayCheck(context.options, check.report)
        self._of_code_system = of_code_system
        self._whole = request.path == CODEABLE_CONCEPT
        self._match: _Match | None = None
        self._last: _Match | None = None
        self._matched: set[int] = set()
        self._normal_form: str | None = None

    def run(self) -> Validation:
        """Return the result."""
        problem = warning_issue(reliability_of(self._value_set), reliability_of(self._value_set))
        if problem:
            self._report.add(problem)
        verdict: bool | None = False
        no_code = False
        for index, coding in enumerate(self._request.codings):
            path = f"{CODEABLE_CONCEPT}.coding[{index}]" if self._whole else self._request.path
            if not coding.code:
                self._report_no_code(coding, path)
                no_code = True
                break
            one = self._validate(coding, path, index)
            if verdict is not True and one is not False:
                verdict = one
        self._pass_over_unchecked()
        if verdict is False:
            self._report_none(no_code=no_code)
        return self._result(verdict)

    def _report_no_code(self, coding: Coding, path: str) -> None:
        missing = "code" if coding.system else "system_or_code"
        name = f"Coding_has_no_{missing}__cannot_validate"
        self._report.add(issue("warning", "invalid", "invalid-data", name, at=path), in_message=True)

    def _validate(self, coding: Coding, path: str, index: int) -> bool | None:
        finding = Finding()
        verdict = self._check.check(Question(self._value_set, coding, path, finding))
        self._normal_form = finding.normal_form or self._normal_form
        match = _Match(coding, path, finding.system, finding.version)
        if verdict is False and self._whole and not self._of_code_system:
            values = (self._value_set.described, f"'{coding.described(finding.system)}'")
            name = "None_of_the_provided_codes_are_in_the_value_set_one"
            kind = "this-code-not-in-vs"
            self._report.add(issue("information", "code-invalid", kind, name, *values, at=at(path, "code")))
        if verdict:
            self._matched.add(index)
            if coding.display and finding.designations.items:
                judged = Coding(finding.system, coding.version, coding.code, coding.display)
                self._displays.check(judged, finding.designations, finding.language, at(path, "display"))
            match.display = self._shown(finding)
            self._match = self._match or match
        elif not self._context.options.membership_only and finding.system:
            self._explain(match, finding)
        if self._last is None or verdict:
            self._last = match
        return verdict

    def _shown(self, finding: Finding) -> str | None:
        shown = finding.designations.preferred(self._context.options.languages)
        shown = shown or finding.designations.preferred(None)
        return shown.value if shown else None

    # --- Why not -----------------------------------------------------------------------------------------------

    def _explain(self, match: _Match, finding: Finding) -> None:
        """Report what is wrong with a coding that is not in the value set, by its code system."""
        coding, url, path = match.coding, match.system or "", match.path
        if not is_absolute(url):
            place = at(path, "system")
            self._report.add(issue("error", "invalid", "invalid-data", "Terminology_TX_System_Relative", at=place))
        version = coding.version or latest(
            each.version for each in self._value_set.includes if each.system == url and each.version
        )
        judged = Coding(url, coding.version, coding.code, coding.display)
        system = self._check.code_system(judged, version, path)
        if system is None:
            self._explain_no_system(url, version, path)
            return
        problem = warning_issue(reliability_of(system.info), reliability_of(self._value_set))
        if problem:
            self._report.add(problem)
        concept = system.concept(coding.code or "")
        if concept is None:
            self._check.unknown_code(system, coding.code or "", path)
            return
        match.version = match.version or system.info.version
        finding.designations.items = list(concept.designations)
        match.display = self._shown(finding)
        if concept.inactive:
            self._check.note_status(concept, path, coding.code or "")
        self._displays.check_outside(judged, finding.designations, system.info.language, at(path, "display"))

    def _explain_no_system(self, url: str, version: str | None, path: str) -> None:
        place = at(path, "system")
        problem = _why_no_system(url, version, self._context, place)[0]
        if problem.message_id in _UNKNOWN:
            self._check.add_unknown(url, version, path)
        else:
            self._report.add(problem)

    def _pass_over_unchecked(self) -> None:
        """Let a coding that is valid stand for the others, though the systems of some are not known."""
        if not (self._whole and self._matched):
            return
        unmatched = {
            f"{CODEABLE_CONCEPT}.coding[{index}].system": coding
            for index, coding in enumerate(self._request.codings)
            if index not in self._matched
        }
        for problem in list(self._report):
            place = problem.expression or ""
            coding = unmatched.get(place)
            if coding is not None and problem.severity == "error" and problem.message_id in _UNKNOWN:
                name = canonical(coding.system or "", coding.version)
                now = issue(
                    "warning",
                    "not-found",
                    "not-found",
                    "UNKNOWN_CODESYSTEM_CODING_NOT_CHECKED",
                    name,
                    at=problem.expression,
                )
                self._report.replace(problem, now)

    def _report_none(self, *, no_code: bool) -> None:
        """Report that no coding is in the value set, unless the code system has said what is wrong."""
        if (no_code and not self._whole) or (self._of_code_system and (no_code or self._report.has_errors)):
            return
        if self._whole:
            name, place = "TX_GENERAL_CC_ERROR_MESSAGE", ""
            values: tuple[str, ...] = (self._value_set.described,)
        else:
            name = "None_of_the_provided_codes_are_in_the_value_set_one"
            sent = ", ".join(f"'{each.described()}'" for each in self._request.codings)
            values, place = (self._value_set.described, sent), at(self._request.path, "code")
        self._report.add(issue("error", "code-invalid", "not-in-vs", name, *values, at=place))

    # --- The result --------------------------------------------------------------------------------------------

    def _result(self, verdict: bool | None) -> Validation:
        self._report_status()
        valid = verdict is True and not self._report.has_errors
        result = Validation(valid, concept=self._request.concept, normal_form=self._normal_form)
        shown = self._match or (None if self._whole else self._last)
        if shown is not None:
            result.system = shown.coding.system or (shown.system if verdict else None)
            result.code = shown.coding.code
            result.version = shown.version or (None if self._match else shown.coding.version)
            result.display = shown.display
        if verdict is False:
            result.unknown_systems = self._check.unknown_systems
        elif not valid:
            result.caused_by_unknown_systems = self._check.unknown_systems
        inactive = self._check.inactive
        if inactive.inactive and (not self._whole or (self._match and self._match.path == inactive.path)):
            result.inactive = True
            result.status = inactive.status if inactive.status != "inactive" else None
        elif not inactive.inactive and (inactive.status or "").lower() == "deprecated":
            result.status = "deprecated"
        result.issues, result.message = self._report.issues, self._report.message
        return result

    def _report_status(self) -> None:
        inactive: Inactive = self._check.inactive
        if inactive.inactive:
            name = "INACTIVE_CONCEPT_FOUND" if inactive.status == "inactive" else "INACTIVE_CONCEPT_FOUND_add"
            place = inactive.path or "code"
        elif (inactive.status or "").lower() == "deprecated":
            name, place = "DEPRECATED_CONCEPT_FOUND", self._request.path
        else:
            return
        values = (inactive.status, inactive.code)
        self._report.add(issue("warning", "business-rule", "code-comment", name, *values, at=place), in_message=True)
