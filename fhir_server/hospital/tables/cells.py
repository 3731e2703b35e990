"""Rows as the text of their cells, and back: the same for CSV files and for PostgreSQL, which is asked for text too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from fhir_server.errors import Issue, Unprocessable
from fhir_server.hospital.tables.checks import row_rules
from fhir_server.hospital.tables.checks.findings import value_class
from fhir_server.hospital.tables.ids import from_logical, to_logical
from fhir_server.hospital.tables.tables import IDS, LISTS, MOMENTS, PARTS, Table
from mappings.shared.rows import Row

Cells = Mapping[str, str | None]

_UNDECODED = re.compile(r"[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A row, and what of its cells it does not say as they were written."""

    row: Row
    notes: tuple[Issue, ...] = ()


def parse(table: Table, cells: Cells, prefix: str = "") -> Parsed:
    """Return the row in the cells; raises Unprocessable with every fault, each naming its column.

    A cell of nothing but white space says nothing, as null does. A time without an offset is in UTC. What a rule of the
    table leaves out is not in the row, but in the notes.
    """
    texts = {name: text for name, text in cells.items() if name in table.every_column and text and text.strip()}
    faults: list[Issue] = []
    columns: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            columns[name] = _value(name, text, prefix)
        except ValueError as error:
            faults.append(_fault(table, name, str(error), cells))
    try:
        row = table.row.model_validate(_nested(columns))
    except ValidationError as error:
        named = {issue.expression[0] for issue in faults}
        issues = [_of_pydantic(table, each, cells) for each in error.errors(include_url=False, include_input=False)]
        raise Unprocessable(
            issues=[*faults, *(issue for issue in issues if issue.expression[0] not in named)]
        ) from None
    checked = row_rules.findings(row)
    faults += [each.issue(table.name, cells.get(each.column)) for each in checked if each.refused]
    if faults:
        raise Unprocessable(issues=faults)
    blank = [_blank(table, name) for name in cells if _is_changed(table, row, name, cells[name])]
    notes = [each.issue(table.name, cells.get(each.column)) for each in checked]
    return Parsed(row_rules.without(row, checked), (*blank, *notes))


def _fault(table: Table, column: str, reason: str, cells: Cells) -> Issue:
    text = cells.get(column)
    return Issue("value", f"{column}: {reason} (the cell holds {value_class(text)}).", (f"{table.name}.{column}",))


def _of_pydantic(table: Table, error: Any, cells: Cells) -> Issue:
    column = "_".join(str(part) for part in error["loc"][:2] if isinstance(part, str))
    if not column:
        return Issue("value", f"{error['msg']}.", (table.name,))
    text = cells.get(column) or ""
    if error["type"] == "value_error" and _UNDECODED.search(text):
        return _fault(table, column, "holds bytes that are not in the encoding of the file: see --encoding", cells)
    return _fault(table, column, error["msg"], cells)


def _value(column: str, text: str, prefix: str) -> Any:
    if column in LISTS:
        return tuple(to_logical(each, prefix) for each in text.split())
    if column in IDS:
        return to_logical(text, prefix)
    if column in MOMENTS:
        return _moment(text)
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError("is not a time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _nested(columns: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in columns.items():
        field, _, part = ".".join(PARTS.get(name, (name,))).partition(".")
        if part:
            fields.setdefault(field, {})[part] = value
        else:
            fields[field] = value
    return fields


def _is_changed(table: Table, row: Row, name: str, text: str | None) -> bool:
    if name not in table.every_column:
        return False
    return (text is None and cell(row, name) is not None and name not in LISTS) or bool(text and not text.strip())


def _blank(table: Table, name: str) -> Issue:
    text = f"{name}: is blank; what stands for that is kept instead."
    return Issue("informational", text, (f"{table.name}.{name}",), "information")


def cell(row: Row, column: str, prefix: str = "") -> str | None:
    """Return the text of a column; None is null."""
    field, _, part = ".".join(PARTS.get(column, (column,))).partition(".")
    value = getattr(row, field)
    if part and value is not None:
        value = getattr(value, part)
    if value is None or value == ():
        return None
    if column in LISTS:
        return " ".join(from_logical(each, prefix) for each in value)
    return from_logical(value, prefix) if column in IDS else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)
