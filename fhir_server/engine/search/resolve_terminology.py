"""Settling what a search asks of value sets, code systems and hierarchies, before it is compiled for the database."""

from __future__ import annotations

from fhir_server.engine.context import Context
from fhir_server.engine.search.concepts import settle_concepts
from fhir_server.engine.search.hierarchies import settle_hierarchy
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import Concepts
from fhir_server.search.query.settling import open_conditions, settled


async def settle(context: Context, query: Query) -> Query:
    """Return the query with nothing left to be settled; raises BadRequest for what this server does not know."""
    answers = {
        asked: await (
            settle_concepts(context, asked) if isinstance(asked, Concepts) else settle_hierarchy(context, asked)
        )
        for asked in open_conditions(query)
    }
    return settled(query, answers) if answers else query
