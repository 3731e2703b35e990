"""$viewdefinition-run as it is published. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html"""

from __future__ import annotations

from fhir_server.r4.definitions import Operation, OperationParameter


def _input(name: str, kind: str, most: str = "1", least: int = 0) -> OperationParameter:
    return OperationParameter(name, "in", least, most, kind, None, (), ())


RUN = Operation(
    name="ViewDefinitionRun",
    code="viewdefinition-run",
    url="http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run",
    resource=("ViewDefinition",),
    system=True,
    type=True,
    instance=False,
    affectsState=False,
    parameter=(
        _input("viewResource", "Resource", least=1),
        _input("_format", "code"),
        _input("header", "boolean"),
        _input("patient", "Reference", "*"),
        _input("group", "Reference"),
        _input("resource", "Resource", "*"),
        _input("_since", "instant"),
        _input("_limit", "positiveInt"),
    ),
)
