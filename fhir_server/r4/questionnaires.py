"""A QuestionnaireResponse held against its Questionnaire: items, answers, and which of them are asked for at all.

https://hl7.org/fhir/R4/questionnaireresponse.html and https://hl7.org/fhir/R4/questionnaire.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_server.r4.validation.faults import Fault, placed, shown
from fhir_server.work.budget import spend

Json = dict[str, Any]
Member = Callable[[str, Json], "bool | None"]
"""Says whether a Coding is in a value set; None where that cannot be told."""

_VALUES: dict[str, frozenset[str]] = {
    "boolean": frozenset({"valueBoolean"}),
    "decimal": frozenset({"valueDecimal"}),
    "integer": frozenset({"valueInteger"}),
    "date": frozenset({"valueDate"}),
    "dateTime": frozenset({"valueDateTime"}),
    "time": frozenset({"valueTime"}),
    "string": frozenset({"valueString"}),
    "text": frozenset({"valueString"}),
    "url": frozenset({"valueUri"}),
    "attachment": frozenset({"valueAttachment"}),
    "reference": frozenset({"valueReference"}),
    "quantity": frozenset({"valueQuantity"}),
}
_OPTIONS = ("valueInteger", "valueDate", "valueTime", "valueString", "valueCoding", "valueReference")
_FINISHED = frozenset({"completed", "amended"})
_EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def response_faults(response: Json, questionnaire: Json, member: Member) -> list[Fault]:
    """Return what a response, valid by the base specification, breaks of its questionnaire.

    Required items are asked for once it is completed or amended.
    """
    return _Checking(response, questionnaire, member).faults()


@dataclass(slots=True)
class _Checking:
    response: Json
    questionnaire: Json
    member: Member
    answers: dict[str, list[list[Json]]] = field(default_factory=dict)
    """The answers of each occurrence of an item, by its linkId."""
    enabled: dict[str, bool | None] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)

    def faults(self) -> list[Fault]:
        self._note_answers(self.response.get("item", ()))
        self.defined = {item["linkId"] for item in _every(self.questionnaire)}
        return self._items(_valid_items(self.questionnaire), self.response.get("item", ()))

    def _note_answers(self, items: Iterable[Json]) -> None:
        for item in items:
            spend(1)
            self.answers.setdefault(item["linkId"], []).append(item.get("answer", []))
            self._note_answers(item.get("item", ()))
            for answer in item.get("answer", ()):
                self._note_answers(answer.get("item", ()))

    # --- Items --------------------------------------------------------------------------------------------------------

    def _items(self, definitions: Sequence[Json], items: Sequence[Json]) -> list[Fault]:
        """Return the faults of the items that stand in one place."""
        position = {definition["linkId"]: number for number, definition in enumerate(definitions)}
        faults: list[Fault] = []
        last = -1
        for number, item in enumerate(items):
            spend(1)
            link = item["linkId"]
            place = f".item[{number}]"
            if link not in position:
                where = "is asked in another place" if link in self.defined else "is not in the Questionnaire"
                faults.append(Fault(f"{place}.linkId", "structure", f"The item {shown(link)} {where}."))
                continue
            if position[link] < last:
                text = f"The item {shown(link)} comes after one that the Questionnaire asks later."
                faults.append(Fault(f"{place}.linkId", "structure", text))
            last = max(last, position[link])
            placed(faults, place, self._item(definitions[position[link]], item))
        for definition in definitions:
            spend(1)
            link = definition["linkId"]
            faults += self._occurrence(definition, [item for item in items if item["linkId"] == link])
        return faults

    def _occurrence(self, definition: Json, items: Sequence[Json]) -> Iterator[Fault]:
        """Yield whether an item stands as often as it should."""
        name, group = shown(definition["linkId"]), definition["type"] == "group"
        enabled = self._is_enabled(definition)
        if enabled is False:
            if items:
                yield Fault("", "business-rule", f"The item {name} is answered, but by enableWhen it is not asked.")
            return
        count = len(items) if group else sum(len(item.get("answer", ())) for item in items)
        if definition["type"] != "display" and enabled and self.response.get("status") in _FINISHED:
            least = max(_number(definition, "questionnaire-minOccurs") or 0, int(definition.get("required", False)))
            filled = [item for item in items if item.get("item")] if group else range(count)
            if len(filled) < least:
                text = f"The item {name} is required." if least == 1 else f"The item {name} is required {least} times."
                yield Fault("", "required", text)
        most = _number(definition, "questionnaire-maxOccurs") if definition.get("repeats") else 1
        if most is not None and (count > most or (not group and len(items) > 1)):
            times = "once" if most == 1 else f"{most} times at most"
            yield Fault("", "structure", f"The item {name} stands {max(count, len(items))} times, but may {times}.")

    def _item(self, definition: Json, item: Json) -> list[Fault]:
        kind = definition["type"]
        children = _valid_items(definition)
        faults: list[Fault] = []
        if item.get("text") and definition.get("text") and item["text"] != definition["text"]:
            faults.append(Fault(".text", "value", "The text differs from that of the Questionnaire.", "warning"))
        if kind in ("group", "display"):
            if item.get("answer"):
                faults.append(Fault(".answer", "structure", f"An item of type {kind} has no answer."))
            if kind == "display" and item.get("item"):
                faults.append(Fault(".item", "structure", "An item of type display has no items."))
            return faults if kind == "display" else faults + self._items(children, item.get("item", ()))
        if item.get("item"):
            text = "What stands below a question stands in its answer (answer.item)."
            faults.append(Fault(".item", "structure", text))
        for number, answer in enumerate(item.get("answer", ())):
            spend(1)
            below = [*self._answer(definition, answer), *self._items(children, answer.get("item", ()))]
            placed(faults, f".answer[{number}]", below)
        return faults

    # --- Answers ------------------------------------------------------------------------------------------------------

    def _answer(self, definition: Json, answer: Json) -> Iterator[Fault]:
        kind = definition["type"]
        name, value = _value(answer)
        if name is None:
            if not answer.get("item") and not answer.get("extension"):
                yield Fault("", "required", "The answer has no value.")
            return
        allowed = _VALUES.get(kind)
        if kind == "question" or (allowed is None and kind not in ("choice", "open-choice")):
            return
        if allowed is None:
            yield from self._choice(definition, name, value)
        elif name not in allowed:
            expected = " or ".join(sorted(allowed))
            yield Fault(".value", "structure", f"An item of type {kind} is answered by {expected}, not {name}.")
        else:
            yield from _limits(definition, value)
            if definition.get("answerOption") and not _is_option(definition, name, value):
                yield Fault(".value", "code-invalid", "The answer is none of those that the Questionnaire offers.")

    def _choice(self, definition: Json, name: str, value: Any) -> Iterator[Fault]:
        """Yield what is wrong with an answer to a choice."""
        is_open = definition["type"] == "open-choice"
        options = definition.get("answerOption", ())
        offered = {_value(option)[0] for option in options} or {"valueCoding"}
        if is_open and (name == "valueString" or (name == "valueCoding" and not value.get("code"))):
            return
        if name not in offered:
            named = " or ".join(sorted(str(each) for each in offered))
            yield Fault(".value", "structure", f"The choice is answered by {named}, not {name}.")
        elif options and not _is_option(definition, name, value):
            yield Fault(".value", "code-invalid", "The answer is none of those that the Questionnaire offers.")
        elif definition.get("answerValueSet") and name == "valueCoding":
            value_set = definition["answerValueSet"]
            is_member = self.member(value_set, value)
            if is_member is False:
                yield Fault(".value", "code-invalid", f"The answer is not in the value set {shown(value_set)}.")
            elif is_member is None:
                text = f"Whether the answer is in the value set {shown(value_set)} cannot be told here."
                yield Fault(".value", "not-found", text, "warning")

    # --- Which items are asked ----------------------------------------------------------------------------------------

    def _is_enabled(self, definition: Json) -> bool | None:
        """Return whether an item is asked for; None where occurrences of what it depends on disagree."""
        link = definition["linkId"]
        if link not in self.enabled:
            conditions = [self._holds(condition) for condition in definition.get("enableWhen", ())]
            self.enabled[link] = _together(conditions, any_suffices=definition.get("enableBehavior") == "any")
        return self.enabled[link]

    def _holds(self, condition: Json) -> bool | None:
        occurrences = self.answers.get(condition["question"]) or [[]]
        spend(sum(len(answers) for answers in occurrences) + 1)
        outcomes = {_meets(condition, answers) for answers in occurrences}
        return outcomes.pop() if len(outcomes) == 1 else None


def _valid_items(container: Json) -> list[Json]:
    """Return the items of a questionnaire or item; what a package wrote without a linkId or type asks for nothing."""
    items = container.get("item", ())
    return [item for item in items if isinstance(item.get("linkId"), str) and isinstance(item.get("type"), str)]


def _every(container: Json) -> Iterator[Json]:
    for item in _valid_items(container):
        spend(1)
        yield item
        yield from _every(item)


def _value(answer: Json) -> tuple[str | None, Any]:
    """Return the name and value of an answer's or option's value[x]."""
    name = next((name for name in answer if name.startswith("value")), None)
    return name, answer.get(name) if name is not None else None


def _is_option(definition: Json, name: str, value: Any) -> bool:
    options = definition.get("answerOption", ())
    spend(len(options))
    return any(_is_same(option.get(name), value) for option in options)


def _is_same(expected: Any, value: Any) -> bool:
    """Return whether an answer says the same as an option or a condition."""
    if not isinstance(expected, dict) or not isinstance(value, dict):
        return bool(expected == value) and expected is not None
    if "reference" in expected:
        return bool(expected["reference"] == value.get("reference"))
    if "code" not in expected:
        return bool(expected.get("display") == value.get("display") and expected.get("value") == value.get("value"))
    same_system = "system" not in expected or expected["system"] == value.get("system")
    return bool(same_system and expected["code"] == value.get("code") and expected.get("value") == value.get("value"))


def _limits(definition: Json, value: Any) -> Iterator[Fault]:
    """Yield what an answer of the right type breaks of length and range."""
    if isinstance(value, str):
        most, least = definition.get("maxLength"), _number(definition, "minLength")
        if most is not None and len(value) > most:
            yield Fault(".value", "too-long", f"The answer has {len(value)} characters; at most {most} are allowed.")
        if least is not None and len(value) < least:
            yield Fault(".value", "value", f"The answer has {len(value)} characters; at least {least} are needed.")
    for name, sign, word in (("minValue", -1, "least"), ("maxValue", 1, "most")):
        bound = _extension(definition, name)
        order = None if bound is None else _order(value, bound)
        if order is not None and order == sign:
            yield Fault(".value", "value", f"The answer is at {word} {shown(str(bound))}.")


def _extension(definition: Json, name: str) -> Any:
    for extension in definition.get("extension", ()):
        if extension.get("url") == _EXTENSION + name:
            return _value(extension)[1]
    return None


def _number(definition: Json, name: str) -> int | None:
    value = _extension(definition, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _order(one: Any, other: Any) -> int | None:
    """Return how two values compare: -1, 0 or 1; None where that cannot be told."""
    if isinstance(one, dict) and isinstance(other, dict):
        if (one.get("system"), one.get("code", one.get("unit"))) != (
            other.get("system"),
            other.get("code", other.get("unit")),
        ):
            return None
        return _order(one.get("value"), other.get("value"))
    if isinstance(one, bool) or isinstance(other, bool):
        return None
    numbers = (int, float, Decimal)
    if isinstance(one, numbers) and isinstance(other, numbers):
        left, right = Decimal(str(one)), Decimal(str(other))
        return (left > right) - (left < right)
    if isinstance(one, str) and isinstance(other, str):
        # Dates and times of one precision and offset compare as their texts do.
        return (one > other) - (one < other) if len(one) == len(other) and one[19:] == other[19:] else None
    return None


def _meets(condition: Json, answers: Sequence[Json]) -> bool | None:
    """Return whether one occurrence of a question meets a condition."""
    name = next((name for name in condition if name.startswith("answer")), "answer")
    expected, operator = condition.get(name), condition["operator"]
    answered = [_value(answer)[1] for answer in answers]
    if operator == "exists":
        return bool(answered) is expected
    if operator in ("=", "!="):
        return any(_is_same(expected, value) is (operator == "=") for value in answered)
    orders = [_order(value, expected) for value in answered]
    if any(order is not None and order in _ORDERS[operator] for order in orders):
        return True
    return None if None in orders else False


_ORDERS = {">": {1}, "<": {-1}, ">=": {0, 1}, "<=": {-1, 0}}


def _together(conditions: Sequence[bool | None], *, any_suffices: bool) -> bool | None:
    if not conditions:
        return True
    decisive = any_suffices
    if decisive in conditions:
        return decisive
    return None if None in conditions else not decisive
