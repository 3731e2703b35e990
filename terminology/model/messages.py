"""The catalogue of messages: the one place where texts that callers see are written.

Ids and wording are those of the HL7 terminology ecosystem, whose clients (the FHIR validator, the IG publisher)
recognise messages by them. https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/testcases.html
A name may have the suffix of a variant (`_one`, `_other`, `_add`), which its id has not.
"""

from __future__ import annotations

from typing import NamedTuple

_DISPLAY = "Display Name '{4}' for {1}#{2}. Valid display is "
_LANGUAGES = " (for the language(s) '{5}')"
_OUTDATED = "'{0}' is no longer considered a correct display for code '{1}' (status = {3}). The correct display is "
_NONE_FOUND = "There are no valid display names found for "

_TEXTS = {
    "ABSTRACT_CODE_NOT_ALLOWED": "Code '{0}#{1}' is abstract, and not allowed in this context",
    "CODESYSTEM_CS_NO_SUPPLEMENT": "CodeSystem {0} is a supplement, so can't be used as a value in Coding.system",
    "CODESYSTEM_NOT_ENUMERABLE": "The code system '{0}' has a grammar, and cannot be enumerated directly",
    "CODE_CASE_DIFFERENCE": "The code '{0}' differs from the correct code '{1}' by case. Although the code system "
    "'{2}' is case insensitive, implementers are strongly encouraged to use the correct case anyway",
    "CODE_NOT_IN_NORMAL_FORM": "The code '{0}' is valid, but is not in the normal form '{1}' of the code system '{2}'",
    "CONCEPT_DEPRECATED_IN_VALUESET": "The presence of the concept '{1}' in the system '{0}' in the value set {3} is "
    "marked with a status of {2} and its use should be reviewed",
    "Coding_has_no_system__cannot_validate": "Coding has no system. A code with no system has no defined meaning, and "
    "it cannot be validated. A system should be provided",
    "Coding_has_no_system_or_code__cannot_validate": "Coding has no system or code, and cannot be validated",
    "Coding_has_no_code__cannot_validate": "Coding has no code, and cannot be validated",
    "DEPRECATED_CONCEPT_FOUND": "The concept '{1}' is deprecated and its use should be reviewed",
    "Display_Name_WS_for__should_be_one_of__instead_of_one": "Wrong whitespace in " + _DISPLAY + "{3}" + _LANGUAGES,
    "Display_Name_WS_for__should_be_one_of__instead_of_other": "Wrong whitespace in "
    + _DISPLAY
    + "one of {0} choices: {3}"
    + _LANGUAGES,
    "Display_Name_for__should_be_one_of__instead_of_one": "Wrong " + _DISPLAY + "{3}" + _LANGUAGES,
    "Display_Name_for__should_be_one_of__instead_of_other": "Wrong "
    + _DISPLAY
    + "one of {0} choices: {3}"
    + _LANGUAGES,
    "FILTER_NOT_UNDERSTOOD": 'The filter "{0} {1} {2}" is not understood or supported',
    "FILTER_NOT_UNDERSTOOD_add": 'The filter "{0} {1} {2}" from the value set {3} was not understood in the context of '
    "{4}",
    "INACTIVE_CONCEPT_FOUND": "The concept '{1}' has a status of {0} and its use should be reviewed",
    "INACTIVE_CONCEPT_FOUND_add": "The concept '{1}' has a status of {0} and inactive and its use should be reviewed",
    "INACTIVE_DISPLAY_FOUND_one": _OUTDATED + "'{2}'",
    "INACTIVE_DISPLAY_FOUND_other": _OUTDATED + "one of {2}",
    "INVALID_DISPLAY_NAME": "Invalid displayLanguage: '{0}'",
    "TOO_MANY_CONDITIONS": "The conditions are more than can be asked at once: {0}",
    "INVALID_ECL": "The expression constraint '{0}' is not understood: {1}",
    "INVALID_REGEX": "The regex '{0}' is not valid: {1}",
    "MSG_DEPRECATED": "Reference to deprecated {1} {0}",
    "MSG_DRAFT": "Reference to draft {1} {0}",
    "MSG_EXPERIMENTAL": "Reference to experimental {1} {0}",
    "MSG_RETIRED": "Reference to retired {1} {0}",
    "MSG_WITHDRAWN": "Reference to withdrawn {1} {0}",
    "NO_VALID_DISPLAY_AT_ALL": "Cannot validate display Name '{0}' for {1}#{2}: No displays are known",
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR": "Wrong Display Name '{0}' for {1}#{2}. "
    + _NONE_FOUND
    + "language(s) '{3}'. Default display is '{4}'",
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK": _NONE_FOUND + "the code {1}#{2} for language(s) '{3}'. "
    "The display is '{0}' which is a valid display for the default language",
    "None_of_the_provided_codes_are_in_the_value_set_one": "The provided code {1} was not found in the value set '{0}'",
    "POSTCOORDINATION_NOT_SUPPORTED": "The code '{0}' is an expression in the grammar of {1}, which this server does "
    "not know: expressions are refused",
    "STATUS_CODE_WARNING_CODE": "The concept '{1}' is valid but is {0}",
    "SYSTEM_VERSION_MULTIPLE_DEFAULT": "Multiple default versions found for system {0}: '{1}', '{2}'",
    "SYSTEM_VERSION_MULTIPLE_OVERRIDE": "Multiple version overrides found for system {0}: '{1}', '{2}'",
    "TX_GENERAL_CC_ERROR_MESSAGE": "No valid coding was found for the value set '{0}'",
    "Terminology_TX_System_Relative": "Coding.system must be an absolute reference, not a local reference",
    "Terminology_TX_System_ValueSet2": "The Coding references a value set, not a code system ('{0}')",
    "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE": "The system {0} filter with property = {1}, op = {2} has no value",
    "UNABLE_TO_INFER_CODESYSTEM": "The System URI could not be determined for the code '{0}' in the ValueSet '{1}'",
    "UNKNOWN_CODESYSTEM": "A definition for CodeSystem '{0}' could not be found, so the code cannot be validated",
    "UNKNOWN_CODESYSTEM_CODING_NOT_CHECKED": "A definition for the code system '{0}' could not be found, so this "
    "coding was not checked. The CodeableConcept is still valid: another coding is in the value set",
    "UNKNOWN_CODESYSTEM_EXP": "A definition for CodeSystem '{0}' could not be found, so the value set cannot be "
    "expanded",
    "UNKNOWN_CODESYSTEM_VERSION": "A definition for CodeSystem '{0}' version '{1}' could not be found, so the code "
    "cannot be validated. Valid versions: {2}",
    "UNKNOWN_CODESYSTEM_VERSION_EXP": "A definition for CodeSystem '{0}' version '{1}' could not be found, so the "
    "value set cannot be expanded. Valid versions: {2}",
    "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE": "A definition for CodeSystem '{0}' version '{1}' could not be found, so the "
    "value set cannot be expanded. No versions of this code system are known",
    "UNKNOWN_CODESYSTEM_VERSION_NONE": "A definition for CodeSystem '{0}' version '{1}' could not be found, so the "
    "code cannot be validated. No versions of this code system are known",
    "UNKNOWN_CODE_IN_FRAGMENT": "Unknown Code '{0}' in the CodeSystem '{1}'{2} - note that the code system is labeled "
    "as a fragment, so the code may be valid in some other fragment",
    "Unable_to_resolve_system__value_set_has_multiple_matches": "The System URI could not be determined for the code "
    "'{0}' in the ValueSet '{1}': value set expansion has multiple matches: [{2}]",
    "Unable_to_resolve_value_Set_": "A definition for the value Set '{0}' could not be found",
    "Unknown_Code_in": "Unknown code '{0}' in the CodeSystem '{1}'",
    "Unknown_Code_in_Version": "Unknown code '{0}' in the CodeSystem '{1}' version '{2}'",
    "VALUESET_NESTED_TOO_DEEPLY": "The value set '{0}' is included by others more than {1} levels deep",
    "VALUESET_NO_COMPOSE": "The value set '{0}' has neither a compose nor an expansion, so nothing says what is in it",
    "VALUESET_MODIFIED": "The value set '{0}' has a modifier extension at {1}, whose meaning is not known",
    "VALUESET_LOCKED_DATE": "The value set '{0}' has a lockedDate, and content is not kept by date",
    "VALUESET_TOO_COSTLY_WORK": "The value set '{0}' takes more than {1} steps to look through",
    "VALUESET_CIRCULAR_REFERENCE": "Found a circularity pointing to {0} processing ValueSet with pathway {1}",
    "VALUESET_CODESYSTEM_NO_CONTENT": "The definition of the code system {0} has content = {1}, so {2}",
    "VALUESET_SUPPLEMENT_MISSING_one": "Required supplement not found: {0}",
    "VALUESET_SUPPLEMENT_MISSING_other": "Required supplements not found: {0}",
    "VALUESET_TOO_MANY_FILTERS": "A part of the value set '{0}' has more than {1} filters",
    "VALUESET_TOO_COSTLY": "The value set '{0}' expansion has too many codes to produce (>{1})",
    "VALUESET_VALUE_MISMATCH": "The code system '{0}' version '{1}' in the ValueSet include is different to the one in "
    "the value ('{2}')",
    "VALUESET_VALUE_MISMATCH_CHANGED": "The code system '{0}' version '{1}' resulting from the version '{2}' in the "
    "ValueSet include is different to the one in the value ('{3}')",
    "VALUESET_VALUE_MISMATCH_DEFAULT": "The code system '{0}' version '{1}' for the versionless include in the "
    "ValueSet include is different to the one in the value ('{2}')",
    "VALUESET_VERSION_CHECK": "The version '{1}' is not allowed for system '{0}': required to be '{2}' by a "
    "version-check parameter",
    "VALUESET_VERSION_CHECK_VS": "The version '{1}' is not allowed for value set '{0}': required to be '{2}' by a "
    "version-check parameter",
    "VERSION_NEEDED": "The code system '{0}' needs a version with each code, and the code '{1}' has none",
    "VS_EXP_IMPORT_CS": "Cannot include value set '{0}' because it's actually a code system",
    "VS_EXP_IMPORT_CS_PINNED": "Cannot include value set '{0}' version '{1}' because it's actually a code system",
    "VS_EXP_IMPORT_CS_PINNED_X": "Cannot exclude value set '{0}' version '{1}' because it's actually a code system",
    "VS_EXP_IMPORT_CS_X": "Cannot exclude value set '{0}' because it's actually a code system",
    "VS_EXP_IMPORT_UNK": "Unable to find included value set '{0}'",
    "VS_EXP_IMPORT_UNK_PINNED": "Unable to find included value set '{0}' version '{1}'",
    "VS_EXP_IMPORT_UNK_PINNED_X": "Unable to find excluded value set '{0}' version '{1}'",
    "VS_EXP_IMPORT_UNK_X": "Unable to find excluded value set '{0}'",
}

_VARIANTS = ("of_one", "of_other", "FOUND_one", "FOUND_other", "MISSING_one", "MISSING_other", "_add")


class Message(NamedTuple):
    """A text, and the id by which clients know it."""

    name: str
    text: str


def message(name: str, *values: object) -> Message:
    """Return the message `name` with the values in their places."""
    text = _TEXTS[name].format(*values)
    for variant in _VARIANTS:
        if name.endswith(variant):
            return Message(name.removesuffix("_" + variant.rpartition("_")[2]), text)
    return Message(name, text)


def alternatives(items: list[str], conjunction: str = "or") -> str:
    """Return the items as a list in words: 'a', 'a or b', 'a, b or c'."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"
