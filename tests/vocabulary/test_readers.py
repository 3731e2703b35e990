"""The other formats: LOINC, RxNorm, ICD-10-CM, ClaML, CSV and CodeSystem resources, in small made files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.mapped import MappedCodeSystem
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.readers.formats import FORMATS, Options
from terminology import Filter, Selection
from terminology.content.code_systems import ResourceCodeSystem

Load = Callable[..., MappedCodeSystem]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return what loads files, by name and content, in a format."""

    def loading(name: str, files: dict[str, str], **options: str) -> MappedCodeSystem:
        return loaded(tmp_path, name, files, Options(**options))

    return loading


def loaded(folder: Path, name: str, files: dict[str, str], options: Options) -> MappedCodeSystem:
    """Return the code system that files make."""
    for path, content in files.items():
        place = folder / "release" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    builder = Builder(folder / "made")
    system = FORMATS[name]([Release(folder / "release")], builder, options)
    builder.finish(system)
    return MappedCodeSystem(folder / "made")


def codes(system: MappedCodeSystem, *filters: Filter, text: str | None = None) -> list[str]:
    """Return the codes that filters select, sorted."""
    return sorted(each.code for each in system.select(Selection(filters, text)).page())


def facts(system: MappedCodeSystem, code: str) -> dict[str, set[Any]]:
    """Return the values of the properties of a concept."""
    concept = system.concept(code)
    assert concept is not None, code
    values: dict[str, set[Any]] = {}
    for each in concept.properties:
        values.setdefault(each.code, set()).add(each.value)
    return values


_LOINC = {
    "Loinc_2.78/LoincTable/Loinc.csv": (
        '"LOINC_NUM","COMPONENT","PROPERTY","TIME_ASPCT","SYSTEM","SCALE_TYP","METHOD_TYP","CLASS","CLASSTYPE",'
        '"LONG_COMMON_NAME","SHORTNAME","STATUS"\n'
        '"9001-1","Made, up","MCnc","Pt","Bld","Qn","","CHEM","1","Made up in blood","Made Bld","ACTIVE"\n'
        '"9002-9","Made, up","MCnc","Pt","Ser","Qn","","CHEM","1","Made up in serum","Made Ser","DEPRECATED"\n'
        '"9003-7","Mood","Find","Pt","^Patient","Nom","","SURVEY","4","Mood of the patient","Mood","ACTIVE"\n'
    ),
    "Loinc_2.78/AccessoryFiles/PartFile/Part.csv": (
        '"PartNumber","PartTypeName","PartName","PartDisplayName","Status"\n'
        '"LP1-1","COMPONENT","Made up","Made up","ACTIVE"\n"LP2-2","SYSTEM","Bld","Blood","ACTIVE"\n'
        '"LP9-9","HIERARCHY","Chem","Chemistry","ACTIVE"\n'
    ),
    "Loinc_2.78/AccessoryFiles/PartFile/LoincPartLink_Primary.csv": (
        '"LoincNumber","LongCommonName","PartNumber","PartName","PartCodeSystem","PartTypeName","LinkTypeName","Property"\n'
        '"9001-1","x","LP1-1","Made up","http://loinc.org","COMPONENT","Primary","x"\n'
        '"9001-1","x","LP2-2","Bld","http://loinc.org","SYSTEM","Primary","x"\n'
    ),
    "Loinc_2.78/AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv": (
        '"PATH_TO_ROOT","SEQUENCE","IMMEDIATE_PARENT","CODE","CODE_TEXT"\n'
        '"","1","","LP9-9","Chemistry"\n"LP9-9","1","LP9-9","LP1-1","Made up"\n'
        '"LP9-9.LP1-1","1","LP1-1","9001-1","Made"\n"LP9-9.LP1-1","2","LP1-1","9002-9","Made"\n'
    ),
    "Loinc_2.78/AccessoryFiles/AnswerFile/AnswerList.csv": (
        '"AnswerListId","AnswerListName","AnswerStringId","DisplayText"\n'
        '"LL10-1","Moods","LA1-1","Good"\n"LL10-1","Moods","LA2-2","Bad"\n'
    ),
    "Loinc_2.78/AccessoryFiles/AnswerFile/LoincAnswerListLink.csv": (
        '"LoincNumber","LongCommonName","AnswerListId","AnswerListName","AnswerListLinkType"\n'
        '"9003-7","Mood","LL10-1","Moods","NORMATIVE"\n'
    ),
    "Loinc_2.78/AccessoryFiles/LinguisticVariants/deDE15LinguisticVariant.csv": (
        '"LOINC_NUM","COMPONENT","LONG_COMMON_NAME"\n"9001-1","x","Erfunden im Blut"\n'
    ),
}


def test_loinc_has_terms_parts_lists_and_translations(load: Load) -> None:
    """Its axes are properties, as parts and as names; the hierarchy runs over parts; answers are in lists."""
    system = load("loinc", _LOINC)
    assert (system.info.version, system.info.case_sensitive) == ("2.78", False)
    blood = system.concept("9001-1")
    assert blood is not None
    assert blood.display == "Made up in blood"
    assert ("Erfunden im Blut", "de-DE") in {(each.value, each.language) for each in blood.designations}
    assert facts(system, "9001-1")["SYSTEM"] == {"LP2-2", "Bld"}
    deprecated = system.concept("9002-9")
    assert deprecated is not None
    assert deprecated.inactive
    assert system.subsumes("LP9-9", "9002-9")
    assert codes(system, Filter("SYSTEM", "=", "LP2-2")) == codes(system, Filter("SYSTEM", "=", "Bld")) == ["9001-1"]
    assert codes(system, Filter("parent", "=", "LP1-1")) == ["9001-1", "9002-9"]
    assert codes(system, Filter("ancestor", "=", "LP9-9")) == ["9001-1", "9002-9", "LP1-1"]
    assert codes(system, Filter("LIST", "=", "LL10-1")) == ["LA1-1", "LA2-2"]
    assert codes(system, Filter("CLASSTYPE", "=", "4")) == ["9003-7"]
    assert codes(system, Filter("COMPONENT", "regex", "Made.*")) == ["9001-1", "9002-9"]
    assert codes(system, Filter("STATUS", "in", "ACTIVE,TRIAL"), text="made") == ["9001-1", "LP1-1"]
    assert system.concept("ll10-1") is not None


_CONSO = "|ENG||||||{atom}|{atom}|{cui}||RXNORM|{tty}|{cui}|{term}||{suppressed}|4096|"


def _atom(cui: str, tty: str, term: str, suppressed: str = "N") -> str:
    return cui + _CONSO.format(atom=f"a{cui}{tty}", cui=cui, tty=tty, term=term, suppressed=suppressed)


_RXNORM = {
    "rrf/RXNCONSO.RRF": "\n".join(
        [
            _atom("100", "IN", "madeol"),
            _atom("200", "SCD", "madeol 5 MG Oral Tablet"),
            _atom("200", "SY", "madeol tablet", "O"),
            _atom("300", "SCD", "oldol 1 MG", "O"),
            "100|ENG||||||a|a|x||MSH|MH|x|Madeol from elsewhere||N||",
        ]
    ),
    "rrf/RXNREL.RRF": "\n".join(
        ["100||CUI|RO|200||CUI|has_ingredient|r1||RXNORM||||||", "200||CUI|RO|100||CUI|ingredient_of|r2||RXNORM||||||"]
    ),
    "rrf/RXNSAT.RRF": "200|||a|CUI|200|||RXN_STRENGTH|RXNORM|5 MG|N||",
    "rrf/RXNSTY.RRF": "200|T200|A1.3.3|Clinical Drug|AT1|256|",
}


def test_rxnorm_has_its_own_atoms_and_relations(load: Load) -> None:
    """A relation of a row is that of the second concept to the first."""
    system = load("rxnorm", _RXNORM, version="12022024")
    assert codes(system) == ["100", "200", "300"]
    tablet = system.concept("200")
    assert tablet is not None
    assert tablet.display == "madeol 5 MG Oral Tablet"
    assert facts(system, "200") == {
        "TTY": {"SCD", "SY"},
        "has_ingredient": {"100"},
        "RXN_STRENGTH": {"5 MG"},
        "STY": {"Clinical Drug"},
    }
    assert facts(system, "100")["ingredient_of"] == {"200"}
    assert codes(system, Filter("has_ingredient", "=", "100")) == ["200"]
    assert codes(system, Filter("TTY", "in", "SCD,IN")) == ["100", "200", "300"]
    old = system.concept("300")
    assert old is not None
    assert old.inactive


def _order(number: int, code: str, billable: str, short: str, long: str) -> str:
    return f"{number:05d} {code:7} {billable} {short:60} {long}"


def test_icd_10_cm_has_the_codes_of_the_order_file(load: Load) -> None:
    """Each below the longest heading that begins it, with its dot."""
    lines = [
        _order(1, "A00", "0", "Made disease", "Made disease"),
        _order(2, "A000", "1", "Made disease, first", "Made disease of the first kind"),
        _order(3, "A001", "0", "Made disease, second", "Made disease of the second kind"),
        _order(4, "A0011XA", "1", "Second, initial", "Made disease of the second kind, initial encounter"),
    ]
    system = load("icd10cm", {"icd10cm_order_2025.txt": "\n".join(lines)})
    assert system.info.version == "2025"
    assert codes(system, Filter("concept", "descendent-of", "A00")) == ["A00.0", "A00.1", "A00.11XA"]
    assert system.parents("A00.11XA") == ["A00.1"]
    assert facts(system, "A00.1") == {"billable": {False}}
    assert codes(system, Filter("billable", "=", "true")) == ["A00.0", "A00.11XA"]
    assert system.concept("a00.0") is not None


_TABULAR = """<?xml version="1.0"?>
<ICD10CM.tabular><version>2025</version>
 <chapter><name>1</name><desc>Made diseases (A00-A09)</desc>
  <section id="A00-A09"><desc>Made infections</desc>
   <diag><name>A00</name><desc>Made disease</desc><inclusionTerm><note>Known as made</note></inclusionTerm>
    <diag><name>A00.0</name><desc>First kind</desc></diag></diag>
   <diag><name>A01</name><desc>Other</desc></diag>
  </section></chapter></ICD10CM.tabular>"""


def test_icd_10_cm_has_chapters_and_notes_of_the_tabular_list(load: Load) -> None:
    """Headings cannot be chosen as codes."""
    system = load("icd10cm", {"icd10cm-tabular-2025.xml": _TABULAR})
    assert codes(system, Filter("concept", "is-a", "A00-A09")) == ["A00", "A00-A09", "A00.0", "A01"]
    heading = system.concept("chapter-1")
    assert heading is not None
    assert heading.abstract
    assert codes(system, text="known made") == ["A00"]


_CLAML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ClaML SYSTEM "ClaML.dtd">
<ClaML version="2.0.0"><Meta name="lang" value="en"/><Title name="ICD-10" version="2019">ICD-10</Title>
 <Class code="I" kind="chapter"><SubClass code="A00-A09"/>
  <Rubric kind="preferred"><Label xml:lang="en">Made</Label></Rubric></Class>
 <Class code="A00-A09" kind="block"><SuperClass code="I"/>
  <Rubric kind="preferred"><Label>Made block</Label></Rubric></Class>
 <Class code="A00" kind="category" usage="dagger"><SuperClass code="A00-A09"/>
  <Rubric kind="preferred"><Label>Made <Fragment>disease</Fragment></Label></Rubric>
  <Rubric kind="inclusion"><Label>Known as made</Label></Rubric></Class></ClaML>"""


def test_claml_has_classes_and_rubrics(load: Load) -> None:
    """Its title tells the version; ICD-10 unless another url is given."""
    system = load("claml", {"icd10.xml": _CLAML})
    assert (system.info.url, system.info.version) == ("http://hl7.org/fhir/sid/icd-10", "2019")
    category = system.concept("A00")
    assert category is not None
    assert category.display == "Made disease"
    assert facts(system, "A00") == {"kind": {"category"}, "usage": {"dagger"}}
    assert system.subsumes("I", "A00")
    assert codes(system, Filter("kind", "=", "block")) == ["A00-A09"]


def test_a_csv_has_what_its_columns_say(load: Load) -> None:
    """Parents, designations, states, and properties of any name."""
    table = (
        "code,display,parent,display:de,colour,inactive,abstract,definition\n"
        "a,Animal,,Tier,,,true,All that lives\nd,Dog,a,Hund,brown|black,,,\nc,Cat,a|p,,white,yes,,\np,Pet,,,,,,\n"
    )
    system = load("csv", {"animals.csv": table}, url="urn:animals", version="1", title="Animals")
    assert codes(system, Filter("concept", "is-a", "p")) == ["c", "p"]
    assert codes(system, Filter("colour", "=", "black")) == ["d"]
    assert codes(system, Filter("inactive", "=", "true")) == ["c"]
    assert codes(system, Filter("notSelectable", "=", "true")) == ["a"]
    assert codes(system, Filter("colour", "exists", "false")) == ["a", "p"]
    assert codes(system, text="hun") == ["d"]


@pytest.mark.parametrize(
    ("name", "files", "options"),
    [
        ("csv", {"a.csv": "code,display\na,A\n"}, {}),
        ("csv", {"a.csv": "kode,display\na,A\n"}, {"url": "urn:a", "version": "1"}),
        ("csv", {"a.csv": "code,display\n,A\n"}, {"url": "urn:a", "version": "1"}),
        ("csv", {"a.csv": "code,display\na,A\n", "b.csv": ""}, {"url": "urn:a", "version": "1"}),
        ("loinc", {"Loinc.csv": "a,b\n"}, {"version": "1"}),
        ("loinc", {}, {}),
        ("rxnorm", {"RXNCONSO.RRF": "1|2|3"}, {"version": "1"}),
        ("rxnorm", _RXNORM, {}),
        ("icd10cm", {"icd10cm_order_2025.txt": "what else"}, {}),
        ("icd10cm", {"icd10cm_tabular_2025.xml": "<a><chapter></a>"}, {}),
        ("claml", {"a.xml": "<ClaML><Class/></ClaML>"}, {"version": "1"}),
        ("claml", {"a.xml": "<ClaML><Title>x</Title></ClaML>"}, {}),
        ("fhir", {"a.json": "no json"}, {}),
        ("fhir", {"a.json": '{"resourceType": "ValueSet", "url": "urn:v"}'}, {}),
        ("fhir", {"a.json": '{"resourceType": "CodeSystem", "url": "urn:v", "content": "complete"}'}, {}),
        ("fhir", {"a.json": '{"resourceType": "CodeSystem", "url": "u", "version": "1", "concept": [{}]}'}, {}),
    ],
)
def test_what_is_none_of_a_format_is_refused(
    load: Load, name: str, files: dict[str, str], options: dict[str, str], tmp_path: Path
) -> None:
    """By the file, the line or the column, and with what is to be given."""
    (tmp_path / "release").mkdir()
    with pytest.raises(SourceError):
        load(name, files, **options)


def test_xml_reads_nothing_from_elsewhere(load: Load, tmp_path: Path) -> None:
    """An entity of a file of the machine stays empty, and one that grows is refused."""
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    head = f'<!DOCTYPE ClaML [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    label = "<Class code='A'><Rubric kind='preferred'><Label>A&x;</Label></Rubric></Class>"
    system = load("claml", {"a.xml": f"{head}<ClaML>{label}</ClaML>"}, version="1")
    concept = system.concept("A")
    assert concept is not None
    assert "secret" not in str(concept)


_CODE = st.sampled_from("abcdefghij")
_CONCEPTS = st.lists(
    st.fixed_dictionaries(
        {"code": _CODE},
        optional={
            "display": st.sampled_from(["Red fox", "red Deer", "Éland", "fox-glove", "under_score"]),
            "definition": st.just("Defined"),
            "property": st.lists(
                st.one_of(
                    st.builds(lambda code: {"code": "parent", "valueCode": code}, _CODE),
                    st.builds(lambda text: {"code": "kind", "valueString": text}, st.sampled_from(["x", "y"])),
                ),
                max_size=3,
            ),
        },
    ),
    max_size=8,
    unique_by=lambda each: each["code"],
)
_FILTERS = st.builds(
    Filter,
    st.sampled_from(["concept"]),
    st.sampled_from(
        ["is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf", "=", "in", "regex"]
    ),
    _CODE,
) | st.builds(
    Filter,
    st.sampled_from(["kind", "display", "definition"]),
    st.sampled_from(["=", "in", "not-in", "regex", "exists"]),
    st.sampled_from(["x", "y", "x,y", "true", "false", "Red fox", ".*"]),
)


@settings(max_examples=60, deadline=None)
@given(
    _CONCEPTS.filter(bool),
    st.lists(_FILTERS, max_size=2),
    st.sampled_from([None, "red", "fox r", "e", "under_", "glove", "é"]),
)
def test_a_file_answers_as_the_resource_itself_does(
    tmp_path_factory: pytest.TempPathFactory, concepts: list[dict[str, Any]], filters: list[Filter], text: str | None
) -> None:
    """Whatever is asked of it: the same concepts are selected, below and above each other."""
    resource = {
        "resourceType": "CodeSystem",
        "url": "urn:s",
        "version": "1",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "property": [{"code": "parent", "type": "code"}, {"code": "kind", "type": "string"}],
        "concept": concepts,
    }
    folder = tmp_path_factory.mktemp("same")
    system = loaded(folder, "fhir", {"s.json": json.dumps(resource)}, Options())
    own = ResourceCodeSystem(resource)
    if any(own.subsumes(a, b) and own.subsumes(b, a) for a in "abcdefghij" for b in "abcdefghij" if a != b):
        return  # of a ring, both end somewhere
    if any(code in own.parents(code) for code in "abcdefghij"):
        return  # a file has no concept below itself
    selection = Selection(tuple(filters), text)
    expected, made = own.select(selection), system.select(selection)
    listed = [each.code for each in made.page()]
    assert sorted(listed) == sorted(each.code for each in expected.page())
    for code in (each["code"] for each in concepts):
        assert (code in made) == (code in expected), code
        assert sorted(system.children(code)) == sorted(own.children(code))
        assert all(system.subsumes(code, other) == own.subsumes(code, other) for other in "abcdefghij")
