"""What in a resource calls for a look at definitions: a quick scan, so that most writes pay nothing for profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Mentions:
    """The extensions, modifier extensions and codings that a resource has, and the profiles that it claims."""

    extensions: set[str] = field(default_factory=set)
    modifiers: set[str] = field(default_factory=set)
    codings: set[tuple[str, str]] = field(default_factory=set)
    profiles: set[str] = field(default_factory=set)
    questionnaire: bool = False
    """Whether it names the questionnaire that it answers."""


def mentions_of(resource: Any) -> Mentions:
    """Return what a resource, valid by the base specification, mentions."""
    mentions = Mentions(questionnaire=_answers_a_questionnaire(resource))
    pending: list[Any] = [resource]
    while pending:
        node = pending.pop()
        if type(node) is list:
            pending += [each for each in node if type(each) is dict or type(each) is list]
            continue
        for name, value in node.items():
            if type(value) is dict or type(value) is list:
                pending.append(value)
                if name in _NAMED:
                    _note(mentions, name, value)
        if "system" in node and "code" in node:
            system, code = node["system"], node["code"]
            if type(system) is str and type(code) is str:
                mentions.codings.add((system, code))
    return mentions


def _answers_a_questionnaire(resource: Any) -> bool:
    if resource.get("resourceType") == "Bundle":
        entries = resource.get("entry", ())
        return any(_answers_a_questionnaire(each["resource"]) for each in entries if type(each.get("resource")) is dict)
    return resource.get("resourceType") == "QuestionnaireResponse" and "questionnaire" in resource


_NAMED = frozenset({"extension", "modifierExtension", "meta"})


def _note(mentions: Mentions, name: str, value: Any) -> None:
    if name == "meta":
        profiles = value.get("profile") if type(value) is dict else None
        mentions.profiles.update(each for each in profiles or () if type(each) is str)
        return
    urls = mentions.extensions if name == "extension" else mentions.modifiers
    if type(value) is list:
        urls.update(each["url"] for each in value if type(each) is dict and type(each.get("url")) is str)
