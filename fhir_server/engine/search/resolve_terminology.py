"""Resolving what a search asks of value sets, code systems and hierarchies, before it is compiled for the database."""

from __future__ import annotations

from fhir_server.engine.context import Context
from fhir_server.engine.search.concepts import resolve_concepts
from fhir_server.engine.search.hierarchies import resolve_hierarchy
from fhir_server.engine.search.resolve_hidden import resolve_hidden
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import Concepts
from fhir_server.search.query.open_conditions import open_conditions, resolved


async def resolve_terminology(context: Context, query: Query) -> Query:
    """Return the query with nothing left to be resolved; raises BadRequest for what this server does not know.

    Also with nothing that an encrypted database cannot decide.
    """
    answers = {
        condition: await (
            resolve_concepts(context, condition)
            if isinstance(condition, Concepts)
            else resolve_hierarchy(context, condition)
        )
        for condition in open_conditions(query)
    }
    query = resolved(query, answers) if answers else query
    # Of what is contained, the containers are looked at.
    return await resolve_hidden(context, query) if query.contained == "false" else query
