"""SubscriptionTopics in R4: a Basic whose extensions have the elements of R5's resource.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/components.html#subscription-topics-in-fhir-r4
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ELEMENT = re.compile(r"http://hl7\.org/fhir/(?:4\.3|5\.0)/StructureDefinition/extension-SubscriptionTopic\.(\w+)")


def elements_of(resource: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the extensions of a Basic that stand for an element of SubscriptionTopic."""
    elements: list[Mapping[str, Any]] = []
    for place in ("extension", "modifierExtension"):
        extensions = resource.get(place)
        for each in extensions if isinstance(extensions, list) else ():
            match = _ELEMENT.fullmatch(str(each.get("url"))) if isinstance(each, Mapping) else None
            if match is not None and match[1] == name:
                elements.append(each)
    return elements


def text_of(resource: Mapping[str, Any], name: str) -> str:
    """Return the text of an element that stands once, or ""."""
    return next((value_of(each) for each in elements_of(resource, name)), "")


def value_of(extension: Mapping[str, Any]) -> str:
    """Return the value of an extension as text."""
    value = next((value for name, value in extension.items() if name.startswith("value")), "")
    return value if isinstance(value, str) else ""


def topic_url_of(resource: Mapping[str, Any]) -> str:
    """Return the canonical URL of the topic that a Basic is, or ""."""
    return text_of(resource, "url")
