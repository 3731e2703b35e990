"""The Boolean operators, with three truth values: None is unknown. https://hl7.org/fhirpath/N1/#boolean-logic

Each asks its right side only where the left one has not decided.
"""

from __future__ import annotations

from fhir_server.r4.fhirpath.code import Code, of_truth
from fhir_server.r4.fhirpath.items import Items, Scope


def and_(left: Code, right: Code) -> Code:
    """Return the code of `left and right`: false where either is."""
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first is False:
            return False
        second = other(this, scope)
        return second if first or second is False else None

    return of_truth(test)


def or_(left: Code, right: Code) -> Code:
    """Return the code of `left or right`: true where either is."""
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first:
            return True
        second = other(this, scope)
        return second if first is False or second else None

    return of_truth(test)


def xor(left: Code, right: Code) -> Code:
    """Return the code of `left xor right`: unknown where either is."""
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first, second = one(this, scope), other(this, scope)
        return None if first is None or second is None else first is not second

    return of_truth(test)


def implies(left: Code, right: Code) -> Code:
    """Return the code of `left implies right`: true where the left is false or the right true."""
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first is False:
            return True
        second = other(this, scope)
        return second if first or second else None

    return of_truth(test)
