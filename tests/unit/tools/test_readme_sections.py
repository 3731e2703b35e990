"""Sections of README.md in the pages of docs/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.readme_sections import section, with_links_from

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("folder", "link"), [("operate", "backup.md"), ("", "operate/backup.md"), ("tutorials", "../operate/backup.md")]
)
def test_a_link_leads_to_the_same_page_from_every_folder(folder: str, link: str) -> None:
    """README.md links from the root; each page links from where it stands."""
    assert with_links_from(folder, "[it](docs/operate/backup.md)") == f"[it]({link})"
    assert (DOCS / folder / link).resolve() == DOCS / "operate" / "backup.md"


def test_other_links_stay() -> None:
    """What does not lead into docs/ is left alone."""
    assert (
        with_links_from("operate", "[a](https://x.test/docs/a) [b](other.md)")
        == "[a](https://x.test/docs/a) [b](other.md)"
    )


def test_a_section_that_is_not_there_is_an_error() -> None:
    """A page that names a section README.md lacks fails the build."""
    assert "SIGTERM" in section("operations")
    with pytest.raises(ValueError, match="no section nothing"):
        section("nothing")
