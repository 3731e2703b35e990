"""Where a fault stands: the FHIRPath of an issue, led from the bundle where the resource came in one."""

from __future__ import annotations

from fhir_server.errors import FhirError, Issue


def placed(issue: Issue, place: str) -> Issue:
    """Return the issue with its path led from the entry: "Patient.name" becomes "Bundle.entry[0].resource.name"."""
    if not place:
        return issue
    paths = tuple(f"{place}.resource{path[path.find('.') :] if '.' in path else ''}" for path in issue.expression)
    return Issue(issue.code, issue.diagnostics, paths or (place,), issue.severity)


class Placing:
    """Place the issues of an error that leaves an entry, as far as they do not say already where in the bundle."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FhirError):
            error.issues = tuple(
                issue
                if any(path.startswith("Bundle.entry") for path in issue.expression)
                else placed(issue, self.place)
                for issue in error.issues
            )
            # They are about the entry: the bundle that is refused has no version and takes other methods.
            for name in ("ETag", "Allow"):
                error.headers.pop(name, None)
