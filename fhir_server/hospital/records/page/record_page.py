"""A patient's record as one page to read: in the patient's language and time, files included, without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from fhir_server.hospital.records.page.names import Names
from fhir_server.hospital.records.page.view import View, anchor
from fhir_server.hospital.records.page.words import STYLE, label_of, type_name
from fhir_server.r4 import values
from fhir_server.store.search.search import Row
from translations.catalogue import Language

_environment = Environment(
    loader=PackageLoader("fhir_server.hospital.records.page"), autoescape=True, undefined=StrictUndefined
)


async def record_page(
    rows: AsyncIterator[Row], language: Language, clock: ZoneInfo, names: Names
) -> AsyncIterator[str]:
    """Yield the page part by part: a section for each type of resource."""
    head, article = (_environment.get_template(f"{name}.html") for name in ("head", "article"))
    title, introduction = label_of("title", language), label_of("introduction", language)
    yield head.render(language=language, title=title, introduction=introduction, style=STYLE)
    section, view = None, View(language, clock, names)
    async for row in rows:
        if row.type != section:
            yield ("</section>" if section else "") + _section(type_name(row.type, language))
            section = row.type
        resource = values.decode(row.json)
        await names.learn(resource)
        yield article.render(anchor=anchor(f"{row.type}/{row.id}"), value=view.resource(resource))
    yield ("</section>" if section else "") + "</body></html>"


def _section(title: str) -> str:
    return _environment.from_string("<section><h2>{{ title }}</h2>").render(title=title)
