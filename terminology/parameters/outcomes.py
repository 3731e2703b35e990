"""Issues as OperationOutcome. https://hl7.org/fhir/R4/operationoutcome.html"""

from __future__ import annotations

from collections.abc import Iterable

from terminology.model.concepts import Json
from terminology.model.issues import Issue

ISSUE_TYPES = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
MESSAGE_ID = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id"


def write_outcome(issues: Iterable[Issue]) -> Json:
    """Return an OperationOutcome with the issues."""
    return {"resourceType": "OperationOutcome", "issue": [write_issue(each) for each in issues]}


def write_issue(issue: Issue) -> Json:
    """Return an issue as an element of OperationOutcome.issue; its place as expression, and as R4's location."""
    details: Json = {"text": issue.text}
    if issue.kind:
        details = {"coding": [{"system": ISSUE_TYPES, "code": issue.kind}], **details}
    element: Json = {"severity": issue.severity, "code": issue.code, "details": details}
    if issue.message_id:
        element = {"extension": [{"url": MESSAGE_ID, "valueString": issue.message_id}], **element}
    if issue.expression:
        element["location"] = [issue.expression]
        element["expression"] = [issue.expression]
    return element
