"""Settling what a search asks of value sets, code systems and hierarchies, before it is compiled for the database."""

from __future__ import annotations

from fhir_server.engine.concepts import settle_concepts
from fhir_server.engine.context import Context
from fhir_server.engine.hierarchies import settle_hierarchy
from fhir_server.search.ast import Query
from fhir_server.search.conditions import Concepts
from fhir_server.search.settling import open_conditions, settled


async def settle(context: Context, query: Query) -> Query:
    """Return the query with nothing left to be settled; raises BadRequest for what this server does not know."""
    answers = {
        asked: await (
            settle_concepts(context, asked) if isinstance(asked, Concepts) else settle_hierarchy(context, asked)
        )
        for asked in open_conditions(query)
    }
    return settled(query, answers) if answers else query
