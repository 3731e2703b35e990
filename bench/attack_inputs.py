"""Requests that a hostile or careless caller may send, each in at most a megabyte on the wire; none is answered by 5xx."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import zstandard

GRAPHQL = "application/graphql"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
XML = "application/fhir+xml"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Attack:
    """One request, sent by `callers` connections at once."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    callers: int = 1
    entries: int = 0
    """Entries of a batch or transaction, each of which may take 2 ms more."""


def attacks() -> Iterator[Attack]:
    """Yield all requests, kind by kind."""
    yield from _bodies()
    yield from _compressed()
    yield from _patches()
    yield from _bundles()
    yield from _searches()
    yield from _expressions()
    yield from _statements()
    yield from _reads()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _repeated(before: str, member: str, after: str, size: int = _MEGABYTE) -> bytes:
    times = (size - len(before) - len(after)) // (len(member) + 1)
    return (before + ",".join([member] * times) + after).encode()


_DOCUMENT = '{"resourceType":"DocumentReference","status":"current","content":['


def _bodies() -> Iterator[Attack]:
    deep = '{"extension":[' * 60_000 + "]}" * 60_000
    yield Attack("JSON nested deeply", "POST", "Patient", b'{"resourceType":"Patient","x":' + b"[" * 500_000)
    yield Attack("extensions nested deeply", "POST", "Patient", f'{{"resourceType":"Patient","a":{deep}}}'.encode())
    yield Attack("array of empty objects", "POST", "DocumentReference", _repeated(_DOCUMENT, "{}", "]}"))
    yield Attack("array of numbers", "POST", "DocumentReference", _repeated(_DOCUMENT, "1", "]}"))
    coding = '{"coding":[{"system":"urn:x","code":"a","display":"b"}]}'
    observation = '{"resourceType":"Observation","status":"final","code":{"text":"x"},"category":['
    yield Attack("many codings", "POST", "Observation", _repeated(observation, coding, "]}"))
    name = '{"family":"A","given":["B"]}'
    yield Attack("many names", "POST", "Patient", _repeated('{"resourceType":"Patient","name":[', name, "]}"))
    identifier = '{"system":"urn:x","value":"1"}'
    patient = '{"resourceType":"Patient","identifier":['
    yield Attack("many identifiers", "POST", "Patient", _repeated(patient, identifier, "]}", 450_000))
    contained = '{"resourceType":"Patient","id":"a"}'
    yield Attack(
        "many contained", "POST", "Patient", _repeated('{"resourceType":"Patient","contained":[', contained, "]}")
    )
    yield Attack(
        "contained that refer to each other",
        "POST",
        "List",
        _json(
            {
                "resourceType": "List",
                "status": "current",
                "mode": "working",
                "contained": [
                    {
                        "resourceType": "Patient",
                        "id": f"p{at}",
                        "link": [{"other": {"reference": f"#p{(at + 1) % 6000}"}, "type": "refer"}],
                    }
                    for at in range(6000)
                ],
            }
        ),
    )
    yield Attack(
        "a long string", "POST", "Patient", _json({"resourceType": "Patient", "name": [{"family": "x " * 490_000}]})
    )
    code = {"resourceType": "Patient", "gender": "x " * 490_000, "birthDate": "1" * 10, "language": "-" * 400_000}
    yield Attack("a long code", "POST", "Patient", _json(code))
    markup = "<div xmlns='http://www.w3.org/1999/xhtml'>" + "<b>" * 100_000 + "x" + "</b>" * 100_000 + "</div>"
    text = {"resourceType": "Patient", "text": {"status": "generated", "div": markup}}
    yield Attack("a deep narrative", "POST", "Patient", _json(text))
    wide = "<div xmlns='http://www.w3.org/1999/xhtml'>" + "<p a='b'>x</p>" * 60_000 + "</div>"
    yield Attack("a wide narrative", "POST", "Patient", _json({**text, "text": {"status": "generated", "div": wide}}))
    number = '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":%s}}'
    yield Attack("a long number", "POST", "Observation", (number % ("9" * 900_000)).encode())
    yield Attack("a long fraction", "POST", "Observation", (number % ("0." + "9" * 900_000)).encode())
    yield Attack("a large exponent", "POST", "Observation", (number % "1e9999999999999999999").encode())
    keys = ",".join(f'"k{at}":1' for at in range(70_000))
    yield Attack("many properties", "POST", "Patient", f'{{"resourceType":"Patient",{keys}}}'.encode())
    elements = b'<Patient xmlns="http://hl7.org/fhir">' + b"<name><given value='a'/></name>" * 30_000 + b"</Patient>"
    yield Attack("XML elements", "POST", "Patient", elements, {"Content-Type": XML})
    nested = b'<Patient xmlns="http://hl7.org/fhir">' + b"<extension>" * 80_000
    yield Attack("XML nested deeply", "POST", "Patient", nested, {"Content-Type": XML})
    attributes = (
        "<Patient xmlns='http://hl7.org/fhir'><active "
        + " ".join(f"a{at}='1'" for at in range(80_000))
        + "/></Patient>"
    )
    yield Attack("XML attributes", "POST", "Patient", attributes.encode(), {"Content-Type": XML})
    spaces = "<Patient " + " ".join(f"xmlns:n{at}='u{at}'" for at in range(50_000)) + " xmlns='http://hl7.org/fhir'/>"
    yield Attack("XML namespaces", "POST", "Patient", spaces.encode(), {"Content-Type": XML})
    parameter = '{"name":"resource","resource":{"resourceType":"Patient","name":[{}]}}'
    yield Attack(
        "$validate",
        "POST",
        "Patient/$validate",
        _repeated('{"resourceType":"Parameters","parameter":[', parameter, "]}"),
    )
    sets = '{"system":"http://loinc.org","concept":[' + ",".join(['{"code":"1-8"}'] * 20_000) + "]}"
    value_set = f'{{"resourceType":"ValueSet","status":"active","compose":{{"include":[{sets}]}}}}'
    yield Attack("a value set", "POST", "ValueSet", value_set.encode())
    structure = {
        "resourceType": "StructureDefinition", "url": "http://x/y", "name": "A", "status": "active", "kind": "resource",
        "abstract": False, "type": "Patient",
        "differential": {"element": [{"id": f"Patient.x{at}", "path": f"Patient.x{at}"} for at in range(15_000)]},
    }  # fmt: skip
    yield Attack("a structure definition", "POST", "StructureDefinition", _json(structure))
    items = [{"linkId": str(at), "type": "string", "text": "x"} for at in range(15_000)]
    questions = {"resourceType": "Questionnaire", "status": "active", "item": items}
    yield Attack("a questionnaire", "POST", "Questionnaire", _json(questions))
    entries = [
        {"fullUrl": f"http://x/Patient/{at}", "resource": {"resourceType": "Patient", "id": str(at)}}
        for at in range(9000)
    ]
    yield Attack(
        "a stored bundle", "POST", "Bundle", _json({"resourceType": "Bundle", "type": "collection", "entry": entries})
    )


def _compressed() -> Iterator[Attack]:
    plain = _repeated(_DOCUMENT, "{}", "]}", 3_000_000)
    for coding, made in (("gzip", gzip.compress(plain)), ("zstd", zstandard.compress(plain, 19))):
        yield Attack(f"elements in {coding}", "POST", "DocumentReference", made, {"Content-Encoding": coding})
    many = _repeated(_DOCUMENT, '{"attachment":{"url":"http://x/y","title":"aaaaaaaaaaaaaaaa"}}', "]}", 30_000_000)
    yield Attack("30 MB in gzip", "POST", "DocumentReference", gzip.compress(many), {"Content-Encoding": "gzip"})
    yield Attack("empty members", "POST", "Patient", gzip.compress(b"") * 45_000, {"Content-Encoding": "gzip"})
    yield Attack("empty frames", "POST", "Patient", zstandard.compress(b"") * 100_000, {"Content-Encoding": "zstd"})
    yield Attack("a bomb", "POST", "Patient", gzip.compress(b" " * 64_000_000), {"Content-Encoding": "gzip"})
    form = gzip.compress(b"a=1&" * 1_000_000)
    yield Attack("a form in gzip", "POST", "Patient/_search", form, {"Content-Encoding": "gzip", "Content-Type": FORM})


def _patches() -> Iterator[Attack]:
    headers = {"Content-Type": JSON_PATCH}
    test = '{"op":"test","path":"/id","value":"target"}'
    yield Attack("JSON Patch of tests", "PATCH", "Patient/target", _repeated("[", test, "]"), headers)
    add = '{"op":"add","path":"/name/0","value":{"family":"a"}}'
    yield Attack("JSON Patch of adds", "PATCH", "Patient/target", _repeated("[", add, "]"), headers)
    copy = '{"op":"copy","from":"/name","path":"/name/-"}'
    yield Attack("JSON Patch of copies", "PATCH", "Patient/target", _repeated("[", copy, "]", 20_000), headers)
    deep = _json([{"op": "add", "path": "/a" * 400_000, "value": 1}])
    yield Attack("JSON Patch of a deep path", "PATCH", "Patient/target", deep, headers)
    for name, path in (("descendants", "Patient.descendants().descendants().where($this is HumanName)"),
                       ("a product", "Patient.name.select(%resource.descendants().select(%resource.descendants()))")):  # fmt: skip
        part = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path}]
        operation = _json({"name": "operation", "part": part}).decode()
        body = _repeated('{"resourceType":"Parameters","parameter":[', operation, "]}", 500_000)
        yield Attack(f"FHIRPath Patch of {name}", "PATCH", "Patient/wide", body)


def _bundles() -> Iterator[Attack]:
    def bundle(kind: str, count: int, entry: Any) -> bytes:
        return _json({"resourceType": "Bundle", "type": kind, "entry": [entry(at) for at in range(count)]})

    def get(url: str) -> Any:
        return lambda at: {"request": {"method": "GET", "url": url}}

    def created(at: int) -> Any:
        patient = {"resourceType": "Patient", "name": [{"family": f"n{at}"}]}
        return {
            "fullUrl": f"http://b{at}/Patient/{at}",
            "resource": patient,
            "request": {"method": "POST", "url": "Patient"},
        }

    yield Attack("a batch of reads", "POST", "", bundle("batch", 5000, get("Patient/target")), entries=5000)
    yield Attack(
        "a batch of large pages", "POST", "", bundle("batch", 2000, get("Observation?_count=1000")), entries=2000
    )
    yield Attack(
        "a batch of includes",
        "POST",
        "",
        bundle("batch", 500, get("Observation?_count=500&_include=*&_revinclude=*")),
        entries=500,
    )
    yield Attack("a transaction of creates", "POST", "", bundle("transaction", 5000, created), entries=5000)
    conditional = bundle(
        "transaction",
        3000,
        lambda at: {
            **created(at),
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=urn:x|{at}"},
        },
    )
    yield Attack("a transaction of conditions", "POST", "", conditional, entries=3000)
    yield Attack(
        "a transaction of faults",
        "POST",
        "",
        bundle(
            "transaction",
            5000,
            lambda at: {
                "resource": {"resourceType": "Patient", "name": [{"x": 1}] * 2},
                "request": {"method": "POST", "url": "Patient"},
            },
        ),
        entries=5000,
    )
    yield Attack("a batch of metadata", "POST", "", bundle("batch", 2000, get("metadata")), entries=2000)
    yield Attack(
        "entries beyond the limit",
        "POST",
        "",
        _repeated('{"resourceType":"Bundle","type":"batch","entry":[', "{}", "]}"),
    )


def _searches() -> Iterator[Attack]:
    for length in (3, 5, 9):
        yield Attack(f"a chain of {length}", "GET", f"Basic?{'subject.' * length}_id=x")
    yield Attack("a chain of focus", "GET", f"Observation?{'focus.' * 4}_id=x")
    yield Attack("many chains", "GET", "Observation?" + "&".join(["focus.focus._id=x"] * 200))
    yield Attack("_has nested", "GET", "Patient?" + "_has:Observation:subject:" * 9 + "_id=x")
    yield Attack("_has of a chain", "GET", "Patient?_has:Basic:subject:subject.subject.subject._id=x")
    yield Attack("_filter nested", "GET", "Patient?_filter=" + quote("(" * 30_000 + "name eq a"))
    wide = " or ".join(["name eq a"] * 5000)
    yield Attack(
        "_filter wide", "POST", "Patient/_search", urlencode({"_filter": wide}).encode(), {"Content-Type": FORM}
    )
    chained = " or ".join(["subject.subject.subject._id eq x"] * 20)
    yield Attack(
        "_filter of chains", "POST", "Basic/_search", urlencode({"_filter": chained}).encode(), {"Content-Type": FORM}
    )
    ids = ",".join(f"i{at}" for at in range(100_000))
    yield Attack("many ids", "POST", "Patient/_search", f"_id={ids}".encode(), {"Content-Type": FORM})
    names = ",".join(f"n{at}" for at in range(100_000))
    yield Attack(
        "many names searched", "POST", "Patient/_search", f"name:contains={names}".encode(), {"Content-Type": FORM}
    )
    pairs = ",".join(f"8480-6$gt{at}" for at in range(50_000))
    yield Attack(
        "many composites",
        "POST",
        "Observation/_search",
        f"code-value-quantity={pairs}".encode(),
        {"Content-Type": FORM},
    )
    dates = ",".join(["ge2020-01-01"] * 70_000)
    yield Attack("many dates", "POST", "Observation/_search", f"date={dates}".encode(), {"Content-Type": FORM})
    yield Attack("many parameters", "POST", "Patient/_search", b"name=a&" * 140_000, {"Content-Type": FORM})
    yield Attack(
        "999 parameters",
        "POST",
        "Patient/_search",
        b"&".join(b"name=n%d" % at for at in range(999)),
        {"Content-Type": FORM},
    )
    sorts = ",".join(["-birthdate", "name", "family"] * 20_000)
    yield Attack("many sorts", "POST", "Patient/_search", f"_sort={sorts}".encode(), {"Content-Type": FORM})
    includes = b"&".join([b"_include:iterate=*", b"_revinclude:iterate=*"] * 400)
    yield Attack("many includes", "POST", "Observation/_search", b"_count=1000&" + includes, {"Content-Type": FORM})
    elements = ",".join(f"e{at}" for at in range(100_000))
    yield Attack(
        "many elements",
        "POST",
        "Observation/_search",
        f"_count=1000&_elements={elements}".encode(),
        {"Content-Type": FORM},
    )
    text = quote(" OR ".join(["word"] * 20_000))
    yield Attack("_content of words", "POST", "Patient/_search", f"_content={text}".encode(), {"Content-Type": FORM})
    yield Attack(
        "a long number searched",
        "POST",
        "Observation/_search",
        b"value-quantity=" + b"9" * 900_000,
        {"Content-Type": FORM},
    )
    yield Attack("a large exponent searched", "GET", "Observation?value-quantity=1e9999999999999999999")
    yield Attack(
        "a long unit searched",
        "POST",
        "Observation/_search",
        b"value-quantity=1||" + b"(kg." * 200_000,
        {"Content-Type": FORM},
    )
    yield Attack("a long URL", "GET", "Patient?name=" + "a" * 60_000)
    yield Attack("many headers", "GET", "Patient/target", headers={f"X-{at}": "1" for at in range(200)})
    accept = {"Accept": ",".join(["a/b;q=0.1"] * 6000)}
    yield Attack("a long Accept", "GET", "Patient/target", headers=accept)


def _expressions() -> Iterator[Attack]:
    def graphql(name: str, expression: str) -> Attack:
        statement = "{name(fhirpath:" + json.dumps(expression) + "){family}}"
        return Attack(
            f"FHIRPath: {name}", "POST", "Patient/wide/$graphql", statement.encode(), {"Content-Type": GRAPHQL}
        )

    yield graphql("a backtracking pattern", "'" + "a" * 40 + "!'.matches('^(a|a)*$')")
    yield graphql(
        "a product", "%resource.descendants().select(%resource.descendants().select(%resource.descendants())).exists()"
    )
    yield graphql("a union", "(" + "|".join(["%resource.descendants()"] * 90) + ").exists()")
    yield graphql("repeat", "%resource.repeat(descendants().combine(descendants())).exists()")
    doubled = "'" + "x" * 1000 + "'" + ".select($this & $this)" * 9
    yield graphql("strings doubled", f"{doubled}.toChars().select({doubled}).exists()")
    yield graphql(
        "aggregate", "%resource.descendants().aggregate($total & 'aaaaaaaaaaaaaaaaaaaa' & $total, 'a').exists()"
    )
    yield graphql("replaceMatches", f"{doubled}.replaceMatches('x.*y|x', 'zz').exists()")
    yield graphql("equivalence", "%resource.descendants() ~ %resource.descendants()")
    yield graphql("power", "(2).power(100000).power(100000).exists()")
    yield graphql("exp", "%resource.descendants().select((2.5).exp().exp()).exists()")
    yield graphql("nested parentheses", "(" * 9000 + "1" + ")" * 9000)
    yield graphql("a long expression", "a" + ".a" * 400_000)


def _statements() -> Iterator[Attack]:
    def graphql(name: str, statement: str, path: str = "$graphql") -> Attack:
        return Attack(f"GraphQL: {name}", "POST", path, statement.encode(), {"Content-Type": GRAPHQL})

    yield graphql("depth", "{a" * 100_000)
    yield graphql("aliases", "{" + " ".join(f"a{at}:PatientList(_count:1000){{id}}" for at in range(1500)) + "}")
    yield graphql(
        "aliases of a text",
        "{" + " ".join(f"a{at}:text{{div}}" for at in range(900)) + "}",
        "Patient/narrated/$graphql",
    )
    spread = " ".join(f"fragment f{at} on Patient{{...f{at + 1} ...f{at + 1}}}" for at in range(60))
    yield graphql("fragments", f'{{Patient(id:"target"){{...f0}}}} {spread} fragment f60 on Patient{{id}}')
    yield graphql(
        "definitions",
        " ".join(f"fragment f{at} on Patient{{id}}" for at in range(30_000)) + '{Patient(id:"target"){id}}',
    )
    nested = "{ObservationList(_count:1000){subject{resource{... on Patient{ObservationList(_reference:subject,_count:1000){subject{resource{id}}}}}}}}"
    yield graphql("references", nested)
    many = ",".join(["1"] * 200_000)
    yield graphql("a list of values", f"{{PatientList(_id:[{many}]){{id}}}}")
    every = '{ObservationList(_count:1000,fhirpath:"%resource.descendants().select(%resource.descendants()).exists()"){id category(fhirpath:"%resource.descendants().count()>0"){text}}}'
    yield graphql("expressions everywhere", every)


def _reads() -> Iterator[Attack]:
    xml = {"Accept": XML}
    yield Attack("1,000 Observations as XML", "GET", "Observation?_count=1000", headers=xml, callers=16)
    yield Attack("1,000 Observations, indented", "GET", "Observation?_count=1000&_pretty=true", callers=16)
    yield Attack("1,000 Observations", "GET", "Observation?_count=1000", callers=16)
    yield Attack("1,000 Observations in part", "GET", "Observation?_count=1000&_elements=code,status", callers=16)
    yield Attack("_revinclude=*", "GET", "Patient?_count=1000&_revinclude=*", callers=16)
    yield Attack("_include=*", "GET", "Observation?_count=1000&_include=*", callers=16)
    yield Attack("/metadata as XML", "GET", "metadata", headers=xml, callers=16)
    yield Attack("/metadata", "GET", "metadata", callers=16)
    yield Attack("$everything", "GET", "Patient/target/$everything", callers=8)
    yield Attack("history", "GET", "Observation/_history?_count=1000", headers=xml, callers=16)
    yield Attack("a sorted page", "GET", "Observation?_count=1000&_sort=-date&_total=accurate", callers=16)
