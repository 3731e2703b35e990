"""A terminology server as a library: code systems, value sets and concept maps, and the operations of FHIR on them.

It knows no web framework, no database, and nothing of the server; it does no I/O. Content comes through a `Source`,
requests are dataclasses, results are dataclasses, and `parameters` turns FHIR's Parameters into the one and the other
into R4 JSON.

Layers, upper ones may import lower ones:

| package | its duty |
|--|--|
| `parameters` | FHIR's form of requests and results: Parameters, ValueSet, ConceptMap, OperationOutcome |
| `operations` | one module per operation; `context` finds content by version, `selection` is the rule of membership |
| `systems` | code systems by rule: UCUM, languages, countries, currencies, MIME types |
| `content` | the protocols `Source`, `CodeSystem` and `ConceptSet`, and what satisfies them in memory |
| `model` | concepts, value sets, concept maps, languages, versions, issues, the catalogue of messages |

An operation, from a Parameters resource to a Parameters resource:

    from terminology.parameters import outcomes, requests, results
    from terminology.parameters.reader import ParametersReader

    source = LayeredSource(what_is_stored, MemorySource(code_systems=[*rule_based_systems(), Ucum(is_unit)]))
    parameters = ParametersReader(body)
    try:
        request = requests.read_expand(parameters, accept_language)
        answer = results.write_expansion(expand(request, source, Limits(codes=1000)))
    except TerminologyError as error:                       # 4xx: `error.code` is an IssueType
        answer = outcomes.write_outcome(error.issues)

`parameters.unread` then names the parameters that the operation has not. The pairs of functions are:

| operation | request | does it | result |
|--|--|--|--|
| ValueSet/$expand | `read_expand` | `expand` | `write_expansion` |
| ValueSet/$validate-code | `read_validate` | `validate_in_value_set` | `write_validation` |
| CodeSystem/$validate-code | `read_validate(of_code_system=True)` | `validate_in_code_system` | `write_validation` |
| ValueSet/$batch-validate-code | | `parameters.batch.batch_validate` | |
| CodeSystem/$lookup | `read_lookup` | `lookup` | `write_lookup` |
| CodeSystem/$subsumes | `read_subsumes` | `subsumes` | `write_subsumption` |
| CodeSystem/$find-matches | `read_find_matches` | `find_matches` | `write_code_matches` |
| ConceptMap/$translate | `read_translate` | `translate` | `write_translation` |
| ConceptMap/$closure | | `extend_closure` | `write_closure` |

At instance level, set `request.resource` (or `url` and `version`) before the call. A request's own resources
(`tx-resource`) hide stored ones of the same url and version.

What is unknown, an answer can tell: an unknown code or system is a result of `validate_…`, with issues. What is asked
wrongly, or cannot be answered, is a `TerminologyError` with issues: `invalid`, `required`, `not-found`,
`not-supported`, `business-rule`, `processing`, `too-costly`, `exception`; the texts and their ids are in
`model.messages`.

For search and validation inside the server: `selector(source)` answers `contains` for a value set and a code, without
issues, by index wherever the code system has one; `members(value_set, source)` lists the codes, without texts;
`references(resource)` names the value sets and code systems that a resource refers to, so that a source which waits for
a database can load them first.

Big code systems implement `CodeSystem` themselves (a mapped file, an index): operations never walk one that can say
`code in set`, `count()` and `page(offset, limit)` of a `Selection`.
"""

from terminology.content.memory import LayeredSource, MemorySource
from terminology.content.provider import CodeSystem, ConceptSet, Filter, Selection, Source
from terminology.content.references import references
from terminology.model.codings import Coding
from terminology.model.issues import Issue, TerminologyError, UnresolvedReference
from terminology.model.options import Options
from terminology.model.value_sets import ValueSet, read_value_set
from terminology.operations.closure import ClosureEntry, extend_closure
from terminology.operations.context import Context, Limits
from terminology.operations.expand import ExpandRequest, expand, members
from terminology.operations.expansion import Entry, Expansion
from terminology.operations.find_matches import CodeMatch, FindMatchesRequest, find_matches
from terminology.operations.lookup import Lookup, LookupRequest, lookup
from terminology.operations.selection import Member, Selector, selector
from terminology.operations.subsumes import SubsumesRequest, subsumes
from terminology.operations.translate import Match, TranslateRequest, Translation, translate
from terminology.operations.validate import (
    ValidateRequest,
    Validation,
    validate_in_code_system,
    validate_in_value_set,
)

__all__ = [
    "ClosureEntry",
    "CodeMatch",
    "CodeSystem",
    "Coding",
    "ConceptSet",
    "Context",
    "Entry",
    "ExpandRequest",
    "Expansion",
    "Filter",
    "FindMatchesRequest",
    "Issue",
    "LayeredSource",
    "Limits",
    "Lookup",
    "LookupRequest",
    "Match",
    "Member",
    "MemorySource",
    "Options",
    "Selection",
    "Selector",
    "Source",
    "SubsumesRequest",
    "TerminologyError",
    "TranslateRequest",
    "Translation",
    "UnresolvedReference",
    "ValidateRequest",
    "Validation",
    "ValueSet",
    "expand",
    "extend_closure",
    "find_matches",
    "lookup",
    "members",
    "read_value_set",
    "references",
    "selector",
    "subsumes",
    "translate",
    "validate_in_code_system",
    "validate_in_value_set",
]
