"""The checklist of SMART App Launch and of the attacks to survive: each statement has a test here, or a reason.

Statements are numbered by section and place: 4.13 is the thirteenth of section 4. Attacks are numbered as 15.n.
"""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]

STATEMENTS = {1: 14, 2: 12, 3: 12, 4: 15, 5: 3, 6: 5, 7: 8, 8: 12, 9: 6, 10: 7, 11: 3, 12: 14, 13: 4, 14: 4, 15: 32}
"""How many statements each section has."""

CONFIGURATION = "test_the_smart_configuration_says_what_the_server_does"
STATEMENT = "test_the_capability_statement_names_the_same_endpoints"
LAUNCH = "test_a_launch_gives_what_smart_demands"
EHR = "test_an_ehr_launch_carries_patient_and_encounter"
BROWSER = "test_a_standalone_launch_reads_refreshes_and_is_refused_the_neighbour"
TWO_PATIENTS = "test_no_way_in_tells_a_of_b"
GRANULAR = "test_granular_scopes_let_through_just_what_they_name"
SYNTAX = "test_what_is_not_written_exactly_so_is_no_scope"
WRONG_REQUEST = "test_what_is_wrong_with_a_request_is_told_to_the_app"
REFRESH = "test_refreshing_rotates_and_keeps_the_grant"
NARROWING = "test_a_refresh_may_narrow_and_never_widens"
SERVICE = "test_a_service_with_keys_proves_itself_by_rs384_or_es384_once"
CLAIMS = "test_wrong_claims_prove_nothing"
HEADERS = "test_a_strange_header_proves_nothing_and_fetches_nothing"
NO_REQUEST = "test_requests_that_are_no_token_requests_are_refused"
INTROSPECTION = "test_introspection_tells_a_token_s_meaning_to_who_may_know"
LETTERS = "test_each_letter_allows_its_interactions_and_no_other"
CORS = "test_other_origins_may_ask_and_see_what_they_need"
CONFIDENTIAL = "test_a_confidential_client_proves_itself_every_time"
EXPORT_OF_ANOTHER = "test_nobody_sees_the_export_of_another_client"
DOWNLOAD = "test_a_download_needs_a_token_that_covers_the_file"

COVERED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(["1.1", "1.2", "1.3", "1.4", "1.6", "1.9"], (CONFIGURATION,)),
    "1.5": ("test_openid_discovery_and_keys",),
    "1.7": ("test_every_scope_that_is_advertised_is_one",),
    "1.8": ("test_every_scope_that_is_advertised_is_one", STATEMENT),
    "1.10": (STATEMENT,),
    "1.11": (CORS,),
    "1.12": ("test_openid_discovery_and_keys",),
    "1.13": ("test_openid_discovery_and_keys", "test_rotating_the_signing_key_breaks_nothing"),
    "2.1": ("test_a_request_may_come_by_post",),
    "2.2": (LAUNCH, EHR),
    "2.3": ("test_a_user_who_allows_leads_back_with_a_code_and_the_very_state",),
    "2.4": (WRONG_REQUEST,),
    "2.5": (WRONG_REQUEST,),
    "2.6": (WRONG_REQUEST, "test_the_base_with_a_final_slash_is_the_same_aud"),
    "2.7": (WRONG_REQUEST,),
    "2.8": ("test_a_user_who_denies_leads_back_with_access_denied",),
    "2.9": ("test_an_unknown_client_or_redirect_is_told_on_a_page",),
    "2.10": (WRONG_REQUEST,),
    "2.11": ("test_an_old_code_is_refused",),
    "2.12": ("test_what_is_unticked_is_not_granted",),
    "3.1": (LAUNCH, CONFIDENTIAL, "test_an_asymmetric_app_proves_itself_at_exchange_and_refresh"),
    "3.2": (LAUNCH,),
    "3.3": (LAUNCH, "test_a_code_needs_its_verifier_and_its_redirect_uri"),
    "3.4": (LAUNCH, SERVICE),
    "3.5": ("test_a_request_is_cut_down_to_what_is_allowed", "test_cutting_down_grants_just_what_both_allow"),
    "3.6": ("test_the_patient_is_told_when_only_patient_scopes_were_granted", REFRESH),
    "3.7": (EHR,),
    "3.8": ("test_the_ehr_s_further_context_is_passed_on",),
    "3.9": (LAUNCH, EHR, "test_the_style_can_be_fetched_without_a_token"),
    "3.10": ("test_a_code_that_is_used_twice_ends_all_that_came_of_it", SERVICE),
    "3.11": ("test_a_code_needs_its_verifier_and_its_redirect_uri", "test_the_challenge_itself_is_not_the_verifier"),
    "3.12": (NO_REQUEST, CONFIDENTIAL),
    "4.1": ("test_a_scope_of_v1_or_v2_is_read_and_printed_as_it_was_written", SYNTAX),
    "4.2": ("test_a_scope_of_v1_or_v2_is_read_and_printed_as_it_was_written",),
    "4.3": (LETTERS,),
    "4.4": ("test_batch_entries_are_authorised_one_by_one",),
    "4.5": (TWO_PATIENTS, "test_user_scopes_reach_what_the_user_may_see", WRONG_REQUEST),
    "4.6": ("test_a_patient_cannot_be_launched_into_another_record", "test_user_scopes_reach_what_the_user_may_see"),
    "4.7": (TWO_PATIENTS, "test_a_sees_all_that_is_a_s"),
    "4.8": (SYNTAX, "test_any_text_is_a_scope_or_none"),
    "4.9": (GRANULAR,),
    "4.10": (GRANULAR,),
    "4.11": (GRANULAR,),
    "4.12": (GRANULAR, "test_a_granular_target_is_included_only_where_it_meets_its_scope"),
    "4.13": ("test_includes_and_chains_need_a_scope_for_their_target",),
    "4.14": ("test_a_role_of_the_launch_context_still_asks_for_the_context",),
    "4.15": (GRANULAR, "test_a_user_who_allows_leads_back_with_a_code_and_the_very_state"),
    "5.1": (EHR, "test_an_ehr_launch_brings_the_encounter"),
    "5.2": (EHR,),
    "5.3": ("test_a_launch_value_is_for_one_use_one_client_and_one_user",),
    **dict.fromkeys(["6.1", "6.2", "6.3"], (LAUNCH,)),
    "6.4": (LAUNCH, "test_a_practitioner_s_own_resource_can_be_read_by_fhir_user"),
    "6.5": (LAUNCH, "test_the_patient_is_told_when_only_patient_scopes_were_granted"),
    "7.1": (REFRESH,),
    "7.2": (REFRESH,),
    "7.3": ("test_tokens_are_of_one_kind_each_and_of_one_client",),
    "7.4": (REFRESH, "test_tokens_are_of_one_kind_each_and_of_one_client"),
    "7.5": (NARROWING,),
    "7.6": ("test_a_refresh_token_that_is_used_again_ends_the_family", CONFIDENTIAL),
    "7.7": ("test_the_patient_is_told_when_only_patient_scopes_were_granted",),
    "7.8": ("test_signing_out_ends_what_lives_as_long_as_the_session",),
    "8.1": (SERVICE, "test_a_fetched_jwks_is_kept_as_long_as_it_may_be"),
    "8.2": (SERVICE, "test_a_backend_client_authenticates_with_its_key_and_reads"),
    "8.3": (SERVICE,),
    "8.4": (SERVICE,),
    "8.5": (SERVICE, CLAIMS),
    "8.6": (SERVICE, CONFIDENTIAL),
    "8.7": (CLAIMS, SERVICE),
    "8.8": (HEADERS,),
    "8.9": ("test_a_fetched_jwks_is_kept_as_long_as_it_may_be", "test_an_unknown_kid_fetches_again_but_not_at_will"),
    "8.10": ("test_a_service_with_a_secret_gets_a_short_token_and_no_more_than_it_may", NO_REQUEST),
    "8.11": ("test_a_service_with_a_secret_gets_a_short_token_and_no_more_than_it_may",),
    "8.12": ("test_an_asymmetric_app_proves_itself_at_exchange_and_refresh",),
    **dict.fromkeys(["9.1", "9.2", "9.3", "9.4"], (INTROSPECTION,)),
    "9.5": (
        "test_revoking_ends_what_came_of_the_grant",
        "test_the_end_of_access_holds_at_once_on_every_worker",
    ),
    "9.6": ("test_a_user_sees_and_ends_the_access_of_apps",),
    "10.1": ("test_nothing_but_discovery_answers_without_a_token",),
    "10.2": ("test_tokens_are_of_one_kind_each_and_of_one_client",),
    "10.3": (LETTERS, "test_a_search_without_hits_is_an_empty_bundle_and_one_without_scope_is_refused"),
    "10.4": ("test_a_search_without_hits_is_an_empty_bundle_and_one_without_scope_is_refused",),
    "10.5": (TWO_PATIENTS, BROWSER),
    "10.6": ("test_a_token_counts_in_the_authorization_header_only",),
    "10.7": (LETTERS,),
    **dict.fromkeys(["11.1", "11.2", "11.3"], (CORS,)),
    **dict.fromkeys(["12.1", "12.3", "12.4", "12.5", "12.8", "12.9", "12.10", "12.14"], (BROWSER,)),
    "12.2": (CONFIGURATION, BROWSER),
    "12.6": (CONFIDENTIAL,),
    "12.7": ("test_rs384_and_es384_prove_a_client",),
    "12.11": ("test_bodies_and_accept_headers_of_browser_apps_are_taken",),
    "12.12": (LETTERS,),
    "12.13": ("test_bodies_and_accept_headers_of_browser_apps_are_taken", CORS),
    "14.3": ("test_a_code_that_is_used_twice_ends_all_that_came_of_it",),
    "14.4": (CLAIMS, HEADERS, NARROWING, "test_batch_entries_are_authorised_one_by_one"),
    "15.1": ("test_an_unknown_client_or_redirect_is_told_on_a_page",),
    "15.2": (
        "test_an_unknown_client_or_redirect_is_told_on_a_page",
        "test_a_redirect_uri_is_compared_character_by_character",
        "test_an_unsafe_redirect_uri_cannot_be_registered",
    ),
    **dict.fromkeys(["15.3", "15.4", "15.5"], (WRONG_REQUEST,)),
    "15.6": ("test_a_forged_consent_grants_nothing", "test_scopes_that_were_not_asked_for_cannot_be_ticked_in"),
    "15.7": ("test_a_session_planted_before_signing_in_is_worth_nothing_after",),
    "15.8": ("test_pages_cannot_be_framed_cached_or_scripted", "test_markup_of_others_is_shown_as_text"),
    "15.9": (
        "test_a_wrong_password_and_an_unknown_user_look_the_same",
        "test_guessing_is_slowed_down_and_the_owner_still_gets_in",
    ),
    "15.10": ("test_a_code_that_is_used_twice_ends_all_that_came_of_it",),
    "15.11": ("test_a_code_is_of_use_to_its_own_client_only", "test_of_parallel_exchanges_at_most_one_wins"),
    "15.12": (CONFIDENTIAL, NO_REQUEST),
    "15.13": ("test_a_refresh_token_that_is_used_again_ends_the_family", "test_of_parallel_refreshes_at_most_one_wins"),
    "15.14": ("test_a_forged_jwt_is_no_token", "test_tokens_are_of_one_kind_each_and_of_one_client"),
    "15.15": ("test_a_token_counts_in_the_authorization_header_only",),
    "15.16": ("test_revoking_ends_what_came_of_the_grant", INTROSPECTION),
    "15.17": (CLAIMS, "test_other_algorithms_prove_nothing", "test_a_changed_or_cut_signature_proves_nothing"),
    "15.18": (
        HEADERS,
        "test_a_kid_that_is_no_text_proves_nothing",
        "test_a_header_that_brings_its_own_key_proves_nothing",
    ),
    "15.19": (CLAIMS, SERVICE),
    "15.20": (
        "test_registration_is_open_only_by_setting_and_only_to_apps_for_users",
        "test_nothing_internal_is_fetched",
    ),
    **dict.fromkeys([f"15.{n}" for n in (*range(21, 27), 29)], (TWO_PATIENTS,)),
    "15.27": (TWO_PATIENTS, "test_a_s_page_link_shows_another_caller_no_more_than_that_one_may_see"),
    "15.28": (TWO_PATIENTS, "test_a_sees_all_that_is_a_s", "test_only_an_auditor_s_scope_reads_the_trail"),
    "15.30": (LETTERS, "test_user_scopes_reach_what_the_user_may_see", WRONG_REQUEST),
    "13.1": (EXPORT_OF_ANOTHER, DOWNLOAD, "test_an_export_has_what_the_scopes_cover"),
    "13.2": ("test_system_export_has_everything_once", "test_delete_ends_an_export", EXPORT_OF_ANOTHER),
    # Granular scopes and patients' tokens export what they cover: the checklist's own "must not" is a recommendation.
    "13.3": ("test_an_export_has_what_the_scopes_cover", "test_a_patient_exports_the_own_record", EXPORT_OF_ANOTHER),
    "15.32": (
        EXPORT_OF_ANOTHER,
        DOWNLOAD,
        "test_criteria_beyond_the_scope_are_refused",
        "test_a_revoked_grant_ends_it",
    ),
    "15.31": (GRANULAR, "test_a_granular_target_is_included_only_where_it_meets_its_scope", SYNTAX),
}

REASONS: dict[str, str] = {
    "13.4": "URLs of attachments in files are absolute ones of Binaries here; no test follows one with the same token.",
    "1.14": "TLS is the proxy's: the server speaks HTTP, and its documentation says what to put before it.",
    "14.1": "It tells how the kit is run by a person; the launches it makes are those of the browser tests.",
    "14.2": "It tells how to register the kit's clients by hand: client add with its redirect, launch and JWKS URLs.",
}


def test_every_statement_has_a_test_or_a_reason() -> None:
    """No statement is missing, none is both covered and excused, and none is made up."""
    every = {f"{section}.{place}" for section, count in STATEMENTS.items() for place in range(1, count + 1)}
    assert COVERED.keys() | REASONS.keys() == every
    assert not COVERED.keys() & REASONS.keys()


def test_every_test_that_is_named_exists() -> None:
    """A test that was renamed or removed must not go on counting."""
    there: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        there |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert {name for names in COVERED.values() for name in names} <= there


def test_the_sections_are_counted_right() -> None:
    """The table knows as many statements as docs/reference/smart-checklist.md has."""
    checklist = TESTS.parent / "docs" / "reference" / "smart-checklist.md"
    counts: dict[int, int] = {}
    section = 0
    for line in checklist.read_text().splitlines():
        if line.startswith("## "):
            section = int(line[3:].partition(".")[0])
        elif line.startswith("- ") and section:
            counts[section] = counts.get(section, 0) + 1
    assert counts == {number: count for number, count in STATEMENTS.items() if number != 15}
