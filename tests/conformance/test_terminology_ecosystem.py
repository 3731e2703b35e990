"""HL7's tests for terminology servers, asked of the server over HTTP as HL7's own runner asks them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import httpx
import pytest

from tests.terminology.ecosystem import DATA, Case, Comparison, as_r5, cases
from tests.terminology.test_ecosystem import PUNCTUATION

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"HL7's terminology tests are not here: {DATA}")

SUITES = {suite: list(found) for suite, found in groupby(cases(), key=lambda case: case.suite)}
_PATHS = {
    "expand": "ValueSet/$expand",
    "validate-code": "ValueSet/$validate-code",
    "cs-validate-code": "CodeSystem/$validate-code",
    "lookup": "CodeSystem/$lookup",
    "translate": "ConceptMap/$translate",
    "batch-validate": "ValueSet/$batch-validate-code",
}
_ASKED_BY_GET = {"metadata": "metadata", "term-caps": "metadata?mode=terminology"}


def test_all_are_asked() -> None:
    """The suites have all 412 tests."""
    assert sum(map(len, SUITES.values())) == 412


@pytest.mark.parametrize("suite", SUITES)
async def test_the_server_answers_as_the_ecosystem_asks(suite: str, client: httpx.AsyncClient) -> None:
    """Status and body are what the test asks for, of every test of the suite."""
    failures = {str(case): result for case in SUITES[suite] if (result := await _failure(client, case))}
    assert not failures, "\n".join(f"{name}: {result}" for name, result in failures.items())


async def _failure(client: httpx.AsyncClient, case: Case) -> str | None:
    answer = await _asked(client, case)
    if f"{answer.status_code // 100}xx" != case.http:
        return f"{answer.status_code}: {answer.text[:300]}"
    comparison = Comparison(case.texts, case.operation in _ASKED_BY_GET, loose=str(case) in PUNCTUATION)
    differences = [comparison.difference(response, as_r5(answer.json())) for response in case.responses]
    return None if None in differences else str(differences[0])


async def _asked(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    if case.operation in _ASKED_BY_GET:
        return await client.get(_ASKED_BY_GET[case.operation])
    brought: list[dict[str, Any]] = [{"name": "tx-resource", "resource": each} for each in case.setup]
    body = {"resourceType": "Parameters", "parameter": [*case.parameters["parameter"], *brought]}
    headers = {"Accept-Language": case.accept_language} if case.accept_language else {}
    return await client.post(_PATHS[case.operation], json=body, headers=headers)
