"""Print the table of what patients write over FHIR into docs/access.md, from the code's own table.

Run `python tools/access_table.py`; a test fails while the page says anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fhir_server.auth.permission.patient_writes import ALWAYS, CONTAINED, EXTENSIONS, RULES, Rule

PAGE = Path(__file__).parent.parent / "docs" / "access.md"
_BEGIN, _END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
_LETTERS = {"c": "create", "u": "change", "d": "delete"}


def table() -> str:
    """Return the table as Markdown."""
    rows = ["| Type | May | Is about | Elements | Whose word it is |", "|--|--|--|--|--|"]
    rows += [_row(name, rule) for name, rule in sorted(RULES.items())]
    return "\n".join([
        *rows,
        "",
        f"In each also {_names(ALWAYS)} (not in Patient: `contained`), and `meta.profile`. Contained resources may be",
        f"{_names(CONTAINED)}.",
        f"Extensions may be {_names(name.rpartition('/')[2] for name in EXTENSIONS)} of HL7's own.",
        "",
    ])  # fmt: skip


def _row(name: str, rule: Rule) -> str:
    may = ", ".join(_LETTERS[letter] for letter in rule.permissions)
    about = f"`{rule.subject}`" if rule.subject else "itself"
    elements = _names(rule.elements)
    if rule.recipients:
        elements += f"; {_names(rule.recipients)} never a patient"
    return f"| {name} | {may} | {about} | {elements} | {_names(rule.authors)} |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def printed(page: str) -> str:
    """Return the page with the table as the code has it."""
    before, _, rest = page.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{rest.partition(_END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(printed(PAGE.read_text()))
