"""Dates, numbers and strings: the rules that servers get wrong (traps 1 to 10)."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from fhir_server.r4 import values
from fhir_server.settings import Settings
from tests.search.asking import coded, found, observation, patient, refused, store

UCUM = "http://unitsofmeasure.org"


async def test_a_day_ends_before_the_next_midnight(client: httpx.AsyncClient) -> None:
    """Trap 1: a day holds its last millisecond and not the next midnight; eq needs containment, ap overlap."""
    await store(
        client,
        observation("last", effectiveDateTime="2024-01-15T23:59:59.999Z"),
        observation("midnight", effectiveDateTime="2024-01-16T00:00:00Z"),
        observation("month", effectiveDateTime="2024-01"),
    )
    assert await found(client, "Observation?date=2024-01-15") == {"last"}
    assert await found(client, "Observation?date=2024-01") == {"last", "midnight", "month"}
    assert "month" in await found(client, "Observation?date=ap2024-01-15")


@pytest.mark.parametrize(
    ("searched", "expected"),
    [
        ("2024-01", {"month", "day", "minute", "second", "millisecond"}),
        ("2024-01-15T10:30Z", {"minute", "second", "millisecond"}),
        ("2024-01-15T10:30:00Z", {"minute", "millisecond"}),
        ("2024-01-15T10:30:00.000Z", {"millisecond"}),
    ],
)
async def test_a_time_is_as_wide_as_its_precision(client: httpx.AsyncClient, searched: str, expected: set[str]) -> None:
    """Trap 2: month, minute, second and millisecond are four different widths."""
    await store(
        client,
        observation("month", effectiveDateTime="2024-01"),
        observation("day", effectiveDateTime="2024-01-15"),
        observation("minute", effectiveDateTime="2024-01-15T10:30:00Z"),
        observation("second", effectiveDateTime="2024-01-15T10:30:07Z"),
        observation("millisecond", effectiveDateTime="2024-01-15T10:30:00.000Z"),
    )
    assert await found(client, f"Observation?date={searched}") == expected


@pytest.mark.parametrize(
    "search",
    [
        "Observation?date=soon",
        "Observation?date=2024-13",
        "Observation?date=2024-02-30",
        "Observation?date=2024-01-15T25:00Z",
        "Observation?date=gtyesterday",
        "Observation?date=",
        "Observation?value-quantity=many",
        "Observation?value-quantity=gt|http://unitsofmeasure.org|mg",
        "Observation?value-quantity=1,2|http://unitsofmeasure.org|mg,x",
        "Observation?code-value-quantity=8480-6$big",
        "RiskAssessment?probability=1.2.3",
        "RiskAssessment?probability=NaN",
        "RiskAssessment?probability=Infinity",
        "Patient?_lastUpdated=now",
    ],
)
async def test_what_cannot_be_read_is_refused(client: httpx.AsyncClient, search: str) -> None:
    """Trap 3: an unreadable date, number or quantity is a 400, and never finds everything."""
    await store(client, observation("any", effectiveDateTime="2024", valueQuantity={"value": 1}))
    if search.endswith("="):
        # A parameter without a value is as good as none: strict handling refuses it.
        answer = await client.get(search, headers={"Prefer": "handling=strict"})
        assert answer.status_code == 400
    else:
        await refused(client, search)


class TestInAnotherZone:
    """A server whose own zone is not UTC."""

    @pytest.fixture
    def settings(self) -> Settings:
        """Kolkata is 5:30 ahead of UTC."""
        return Settings(default_timezone="Asia/Kolkata")

    async def test_a_date_without_zone_is_in_the_zone_of_the_settings(self, client: httpx.AsyncClient) -> None:
        """Trap 4: a search value without a zone is compared to stored offsets in the zone that is set."""
        await store(
            client,
            observation("before", effectiveDateTime="2024-01-14T18:29:59Z"),
            observation("first", effectiveDateTime="2024-01-14T18:30:00Z"),
            observation("elsewhere", effectiveDateTime="2024-01-15T08:00:00-10:00"),
            observation("late", effectiveDateTime="2024-01-15T08:29:59-10:00"),
        )
        assert await found(client, "Observation?date=2024-01-15") == {"first", "elsewhere", "late"}
        assert await found(client, "Observation?date=2024-01-15T00:00") == {"first"}


async def test_a_period_without_end_goes_on(client: httpx.AsyncClient) -> None:
    """Trap 5: an open end is infinity; sa and eb never match an overlap; ne is what eq is not, periods included."""
    await store(
        client,
        observation("open", effectivePeriod={"start": "2024-01-10"}),
        observation("closed", effectivePeriod={"start": "2024-01-10", "end": "2024-01-20"}),
        observation("within", effectivePeriod={"start": "2024-01-15T01:00:00Z", "end": "2024-01-15T02:00:00Z"}),
        observation("unbegun", effectivePeriod={"end": "2024-01-20"}),
    )
    everything = {"open", "closed", "within", "unbegun"}
    assert await found(client, "Observation?date=gt2100") == {"open"}
    assert await found(client, "Observation?date=lt1900") == {"unbegun"}
    assert await found(client, "Observation?date=sa2024-01-15") == set()
    assert await found(client, "Observation?date=eb2024-01-15") == set()
    assert await found(client, "Observation?date=sa2024-01-09") == {"open", "closed", "within"}
    assert await found(client, "Observation?date=eb2024-01-21") == {"closed", "within", "unbegun"}
    equal = await found(client, "Observation?date=2024-01-15")
    assert equal == {"within"}
    assert await found(client, "Observation?date=ne2024-01-15") == everything - equal


@pytest.mark.parametrize("number", ["1.0", "1.00", "1E+2", "-0.0", "12345678901234567890.123", "0.0000001"])
async def test_a_searched_number_comes_as_it_was_written(client: httpx.AsyncClient, number: str) -> None:
    """Trap 6: decimals found by a search are byte-equal to what was written."""
    body = (
        values.encode(observation("o")).decode().replace('"id":"o"', f'"id":"o","valueQuantity":{{"value":{number}}}')
    )
    assert (await client.put("Observation/o", content=body)).status_code == 201
    answer = await client.get("Observation?_id=o")
    assert f'"value":{number}' in answer.text.replace(" ", "")


async def test_a_number_is_as_wide_as_its_digits(client: httpx.AsyncClient) -> None:
    """Trap 7: 100 is 99.5 to 100.5 and 100.0 a tenth of that; gt and lt take the number as it is; units convert."""

    def measured(resource_id: str, value: str, code: str) -> dict[str, object]:
        quantity = {"value": Decimal(value), "system": UCUM, "code": code}
        return observation(resource_id, valueQuantity=quantity)

    await store(
        client,
        measured("99.5", "99.5", "mg"),
        measured("99.95", "99.95", "mg"),
        measured("100", "100", "mg"),
        measured("100.04", "100.04", "mg"),
        measured("100.5", "100.5", "mg"),
        measured("gram", "0.1", "g"),
        measured("kilogram", "0.01", "kg"),
        measured("cold", "37", "Cel"),
    )
    milligrams = f"|{UCUM}|mg"
    assert await found(client, "Observation?value-quantity=100") == {"99.5", "99.95", "100", "100.04"}
    assert await found(client, "Observation?value-quantity=100.0") == {"99.95", "100", "100.04"}
    assert await found(client, f"Observation?value-quantity=100.0{milligrams}") == {"99.95", "100", "100.04", "gram"}
    assert await found(client, "Observation?value-quantity=gt100") == {"100.04", "100.5"}
    assert await found(client, "Observation?value-quantity=lt99.95") == {"99.5", "gram", "kilogram", "cold"}
    assert await found(client, f"Observation?value-quantity=10|{UCUM}|g") == {"kilogram"}
    assert await found(client, f"Observation?value-quantity=98.6|{UCUM}|[degF]") == {"cold"}


async def test_an_exponent_says_how_precise_a_number_is(client: httpx.AsyncClient) -> None:
    """The specification's own example: 1e2 stands for 95 to 105."""
    await store(
        client,
        *(observation(str(value), valueQuantity={"value": value}) for value in (94, 95, 100, 104, 105)),
    )
    assert await found(client, "Observation?value-quantity=1e2") == {"95", "100", "104"}


async def test_a_string_is_found_whatever_its_case_and_accents(client: httpx.AsyncClient) -> None:
    """Trap 8: case, accents and normal form do not count but for :exact; a long text is found by all of it."""
    long = "a" * 1999 + "b"
    await store(
        client,
        patient("composed", name=[{"family": "M\u00fcller"}]),
        patient("decomposed", name=[{"family": "Mu\u0308ller"}]),
        patient("plain", name=[{"family": "MULLER"}]),
        patient("long", name=[{"family": long}]),
        patient("longer", name=[{"family": f"{long[:-1]}c"}]),
    )
    assert await found(client, "Patient?family=muller") == {"composed", "decomposed", "plain"}
    assert await found(client, "Patient?family=M\u00dcLL") == {"composed", "decomposed", "plain"}
    assert await found(client, "Patient?family:exact=MULLER") == {"plain"}
    assert await found(client, "Patient?family:exact=M\u00fcller") == {"composed"}
    assert await found(client, f"Patient?family={long}") == {"long"}
    assert await found(client, f"Patient?family:exact={long}") == {"long"}


async def test_a_token_has_four_forms(client: httpx.AsyncClient) -> None:
    """Trap 9: `|code`, `system|`, `system|code` and `code` are different sets; LOINC's letters have no case."""
    await store(
        client,
        observation("one", code=coded(("urn:one", "a"))),
        observation("two", code=coded(("urn:two", "a"))),
        observation("other", code=coded(("urn:one", "b"))),
        observation("none", code={"coding": [{"code": "a"}]}),
        observation("loinc", code=coded(("http://loinc.org", "LA6576-8"))),
        observation("large", code=coded(("urn:one", "A"))),
    )
    assert await found(client, "Observation?code=a") == {"one", "two", "none"}
    assert await found(client, "Observation?code=urn:one|a") == {"one"}
    assert await found(client, "Observation?code=|a") == {"none"}
    assert await found(client, "Observation?code=urn:one|") == {"one", "other", "large"}
    assert await found(client, "Observation?code=http://loinc.org|la6576-8") == {"loinc"}
    assert await found(client, "Observation?code=La6576-8") == {"loinc"}


async def test_a_token_that_is_a_plain_string_has_no_case(client: httpx.AsyncClient) -> None:
    """Where the element is a string a token ignores case, as the specification's table of tokens says."""
    value_set = {"resourceType": "ValueSet", "id": "v", "status": "draft", "version": "1.0-Beta"}
    await store(client, value_set)
    assert await found(client, "ValueSet?version=1.0-bETA") == {"v"}


async def test_a_code_has_the_system_of_its_value_set(client: httpx.AsyncClient) -> None:
    """An element of type code has an implicit system, as the specification's table of tokens says."""
    await store(client, patient("m", gender="male"), patient("f", gender="female"))
    assert await found(client, "Patient?gender=http://hl7.org/fhir/administrative-gender|male") == {"m"}
    assert await found(client, "Patient?gender=http://hl7.org/fhir/administrative-gender|") == {"m", "f"}
    assert await found(client, "Patient?gender=urn:other|male") == set()


async def test_escaped_separators_are_part_of_a_value(client: httpx.AsyncClient) -> None:
    """Trap 10: an escaped comma, bar or dollar is a value, an unescaped one separates."""
    await store(
        client,
        observation("comma", code=coded(("urn:one", "a,b"))),
        observation("bar", code=coded(("urn:one", "a|b"))),
        observation("dollar", code=coded(("urn:one", "a$b")), valueQuantity={"value": 5}),
        observation("backslash", code=coded(("urn:one", "a\\b"))),
        observation("a", code=coded(("urn:one", "a"))),
    )
    assert await found(client, r"Observation?code=a\,b") == {"comma"}
    assert await found(client, "Observation?code=a,b") == {"a"}
    assert await found(client, r"Observation?code=urn:one|a\|b") == {"bar"}
    assert await found(client, r"Observation?code=a\$b") == {"dollar"}
    assert await found(client, r"Observation?code-value-quantity=a\$b$5") == {"dollar"}
    assert await found(client, r"Observation?code=a\\b") == {"backslash"}


async def test_a_plus_that_arrives_as_a_space_is_never_misread(client: httpx.AsyncClient) -> None:
    """Trap 10: `%2B` is a plus, and a raw one, decoded as a space, is understood all the same or refused."""
    await store(client, observation("o", effectiveDateTime="2024-01-15T10:00:00+02:00"))
    assert await found(client, "Observation?date=2024-01-15T10:00:00%2B02:00") == {"o"}
    answer = await client.get("Observation?date=2024-01-15T10:00:00+02:00")
    assert answer.status_code == 400 or len(answer.json()["entry"]) == 1


@pytest.mark.parametrize("prefix", ["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
async def test_the_ends_of_time_can_be_asked_for(client: httpx.AsyncClient, prefix: str) -> None:
    """The first and last dates are answered by every parameter of time: searches, `_since`, `_at`, `$everything`."""
    await store(client, patient("p", birthDate="1970-01-01", deceasedDateTime="9999-12-31"))
    for text in ("0001-01-01", "9999-12-31", "9999", "9999-12-31T23:59:59.999-12:00"):
        for name in ("_lastUpdated", "birthdate", "death-date", "_has:Observation:subject:date"):
            await found(client, f"Patient?{name}={prefix}{text}")
        for path in (f"_history?_since={text}", f"Patient/p/_history?_at={text}"):
            assert (await client.get(path)).status_code == 200
        if len(text) <= 10:
            assert (await client.get(f"Patient/p/$everything?start={text}&end={text}")).status_code == 200
    assert await found(client, "Patient?death-date=9999-12-31") == {"p"}


async def test_bars_without_a_unit_ask_for_any_unit(client: httpx.AsyncClient) -> None:
    """`50||` is `50`, with every prefix and in composites, as clients write it for a quantity without a unit."""
    code = coded(("urn:s", "c"))
    quantity = {"value": 50, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
    await store(client, observation("a", code=code, valueQuantity=quantity))
    for value, expected in (("50||", {"a"}), ("gt49||", {"a"}), ("gt50||", set()), ("le50|", {"a"}), ("ne50||", set())):
        assert await found(client, f"Observation?value-quantity={value}") == expected, value
        assert await found(client, f"Observation?code-value-quantity=urn:s|c${value}") == expected, value
    await refused(client, "Observation?value-quantity=50|http://unitsofmeasure.org|", "value-quantity")
