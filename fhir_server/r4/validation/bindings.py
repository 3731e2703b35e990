"""Bindings that a value must not leave.

Where the package cannot enumerate a value set because another body keeps it, the form of its codes is checked; the
codes themselves are for the terminology service.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_server.r4 import ucum
from fhir_server.r4.definitions import Element
from fhir_server.r4.validation.faults import Check, Fault, Faults, Rule, Scope, shown
from fhir_server.r4.validation.primitives import PRIMITIVES

# ISO 4217, with what it has withdrawn: old records are paid in old money.
_CURRENCIES = """
    ADP AED AFA AFN ALK ALL AMD ANG AOA AOK AON AOR ARA ARL ARM ARP ARS ATS AUD AWG AZM AZN BAD BAM BAN BBD BDT
    BEC BEF BEL BGL BGM BGN BGO BHD BIF BMD BND BOB BOL BOP BOV BRB BRC BRE BRL BRN BRR BRZ BSD BTN BUK BWP BYB
    BYN BYR BZD CAD CDF CHE CHF CHW CLE CLF CLP CNY COP COU CRC CSD CSK CUC CUP CVE CYP CZK DDM DEM DJF DKK DOP
    DZD ECS ECV EEK EGP ERN ESA ESB ESP ETB EUR FIM FJD FKP FRF GBP GEK GEL GHC GHS GIP GMD GNF GNS GQE GRD GTQ
    GWE GWP GYD HKD HNL HRD HRK HTG HUF IDR IEP ILP ILR ILS INR IQD IRR ISJ ISK ITL JMD JOD JPY KES KGS KHR KMF
    KPW KRH KRO KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LTT LUC LUF LUL LVL LVR LYD MAD MAF MCF MDC MDL MGA MGF
    MKD MKN MLF MMK MNT MOP MRO MRU MTL MTP MUR MVP MVR MWK MXN MXP MXV MYR MZE MZM MZN NAD NGN NIC NIO NLG NOK
    NPR NZD OMR PAB PEI PEN PES PGK PHP PKR PLN PLZ PTE PYG QAR RHD ROL RON RSD RUB RUR RWF SAR SBD SCR SDD SDG
    SDP SEK SGD SHP SIT SKK SLE SLL SOS SRD SRG SSP STD STN SUR SVC SYP SZL THB TJR TJS TMM TMT TND TOP TPE TRL
    TRY TTD TWD TZS UAH UAK UGS UGX USD USN USS UYI UYP UYU UYW UZS VEB VED VEF VES VND VNN VUV WST XAF XAG XAU
    XBA XBB XBC XBD XCD XCG XDR XEU XFO XFU XOF XPD XPF XPT XRE XSU XTS XUA XXX YDD YER YUD YUM YUN YUR ZAL ZAR
    ZMK ZMW ZRN ZRZ ZWD ZWG ZWL ZWR
"""

# https://www.rfc-editor.org/rfc/rfc5646#section-2.1 (BCP 47). The value set mimetypes has no such form: R4
# itself allows "json" and "xml" in it.
_FORMS: dict[str, Callable[[str], object]] = {
    "all-languages": re.compile(r"(?:[A-Za-z]{2,8}|[iIxX](?=-))(?:-[A-Za-z0-9]{1,8})*").fullmatch,
    "currencies": frozenset(_CURRENCIES.split()).__contains__,
}


def code_check(element: Element) -> Check:
    """Return the check of an element of type code that has a binding."""
    code, codes, value_set = PRIMITIVES["code"], element.codes, str(element.binding)
    allowed = codes.__contains__ if codes is not None else _FORMS.get(value_set)
    if allowed is None:
        return code

    def check(value: Any, depth: int, scope: Scope) -> Faults:
        if type(value) is str and allowed(value):
            return None
        faults = code(value, depth, scope)
        return faults or [Fault("", "code-invalid", f"{shown(value)} is not in the required value set {value_set}.")]

    return check


def ucum_rule(node: dict[str, Any], _scope: Scope) -> Faults:
    """Check the code of a Coding or Quantity whose system is UCUM: only a warning, as much data has (score)."""
    code = node.get("code")
    if node.get("system") != ucum.SYSTEM or not isinstance(code, str) or ucum.is_unit(code):
        return None
    return [Fault(".code", "code-invalid", f"{shown(code)} is not a unit of {ucum.SYSTEM}.", "warning")]


def concept_rule(codings: frozenset[str], value_set: str) -> Rule:
    """Return the rule that one coding of a CodeableConcept is among `codings`, each written `system|code`."""
    text = f"No coding is in the required value set {value_set.rstrip('|')}."

    def rule(node: dict[str, Any], _scope: Scope) -> Faults:
        listed = node.get("coding")
        if listed is None and "extension" in node and "text" not in node:
            return None  # only an extension, such as data-absent-reason, says why there is no concept
        for coding in listed if isinstance(listed, list) else ():
            if isinstance(coding, dict) and f"{coding.get('system')}|{coding.get('code')}" in codings:
                return None
        return [Fault("", "code-invalid", text)]

    return rule
