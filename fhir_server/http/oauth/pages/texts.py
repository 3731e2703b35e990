"""What the pages say."""

from __future__ import annotations

from collections.abc import Mapping

from translations.catalogue import N_, translated

_TEXTS: Mapping[str, str] = {
    "server": N_("Health records"),
    "sign_in": N_("Sign in"),
    "sign_in_for": N_("Sign in to go on to {app}."),
    "username": N_("User name"),
    "password": N_("Password"),
    "wrong": N_("The user name or the password is wrong."),
    "or_with": N_("Or with an account that you have elsewhere:"),
    "sign_in_with": N_("Sign in with {provider}"),
    "provider_refused": N_("You were not signed in there. Try again, or sign in another way."),
    "provider_failed": N_("The answer from there cannot be used. Try again, or sign in another way."),
    "provider_silent": N_("It does not answer as it should. Try again later, or sign in another way."),
    "provider_stale": N_("You have to prove there once more who you are. Try again."),
    "not_let_in": N_("Your account gives no access here. The hospital can change that."),
    "unknown_provider": N_("There is no such way to sign in."),
    "link": N_("Connect your account"),
    "link_text": N_(
        "You are signed in with {provider}, which is not yet connected with an account here. If you have one, sign in "
        "to it once; from then on {provider} is enough."
    ),
    "link_none": N_("If you have no account here, ask the hospital for one."),
    "link_taken": N_("This account is connected with another account of {provider} already."),
    "link_do": N_("Connect"),
    "second_factor": N_("One more step"),
    "second_factor_text": N_("Type the code that your authenticator app shows now, or one of your recovery codes."),
    "code": N_("Code"),
    "code_if_any": N_("Code of the authenticator app, if your account has one"),
    "wrong_code": N_("The code is wrong, or was used before."),
    "enrolment": N_("Set up a second factor"),
    "enrolment_text": N_(
        "Your account needs an authenticator app. Scan the picture with it, then type the code that it shows."
    ),
    "enrolment_secret": N_("Without a camera, type this into the app:"),
    "enrol": N_("Set up"),
    "recovery_codes": N_("Your recovery codes"),
    "recovery_codes_text": N_(
        "Keep these codes safe: each signs you in once, when you do not have your authenticator app. They are not "
        "shown again."
    ),
    "go_on": N_("Go on"),
    "wait": N_("Too many attempts. Try again in {seconds} seconds."),
    "form_expired": N_("This page was open for too long. Please try again."),
    "signed_in_as": N_("You are signed in as {user}."),
    "sign_out": N_("Sign out"),
    "sign_out_ask": N_("Sign out?"),
    "sign_out_for": N_("{app} asks you to sign out here, too."),
    "stay": N_("Stay signed in"),
    "signed_out": N_("You are signed out."),
    "consent": N_("Allow {app}?"),
    "consent_text": N_("{app} asks for access to health records. Untick what you do not want to allow."),
    "unverified": N_("This app registered itself: nobody here has checked who is behind it."),
    "leads_to": N_("You will be taken to {host}."),
    "about_patient": N_("It concerns the patient {patient}."),
    "approve": N_("Allow"),
    "deny": N_("Do not allow"),
    "pick": N_("Choose a patient"),
    "pick_text": N_("{app} works on one patient. Which one?"),
    "name": N_("Name"),
    "birth_date": N_("Birth date"),
    "bad_date": N_("Write the date as 1980-12-31, 1980-12 or 1980."),
    "identifier": N_("Number (of the record or insurance)"),
    "number": N_("no. {number}"),
    "more": N_("Show more"),
    "search": N_("Search"),
    "choose": N_("Continue with this patient"),
    "born": N_("born {date}"),
    "nobody": N_("No patient was found."),
    "pick_encounter": N_("Choose an encounter"),
    "pick_encounter_text": N_("{app} works on one encounter of {patient}. Which one?"),
    "choose_encounter": N_("Continue with this encounter"),
    "no_encounter": N_("Continue without an encounter"),
    "encounter_date": N_("Encounters of the day"),
    "no_encounters_then": N_("There are no encounters of that day."),
    "earlier": N_("Show earlier ones"),
    "about_encounter": N_("It concerns the encounter {encounter}."),
    "apps": N_("Apps with access"),
    "apps_text": N_("You have given these apps access to health records. You can end it at any time."),
    "no_apps": N_("No app has access."),
    "granted_on": N_("Allowed on {date}"),
    "used_on": N_("last used on {date}"),
    "revoke": N_("End access"),
    "revoke_of": N_("End the access of {app}"),
    "revoked": N_("The access has been ended."),
    "error": N_("This did not work"),
    "unknown_client": N_("The app that sent you here is not registered with this server."),
    "unknown_redirect": N_("The app that sent you here did not name one of its registered addresses."),
    "unknown_return": N_(
        "The app that sent you here did not name one of its addresses to return to. You are still signed in."
    ),
    "expired": N_("This request is no longer valid. Go back to the app and start again."),
    "bad_request": N_("The request cannot be understood."),
    "foreign_form": N_("This form was not sent from a page of this server, or its page was open for too long."),
    "other_user": N_("The record system started this app for another user. Sign out and try again."),
    "server_error": N_("Something went wrong here. Try again later."),
    "scope:openid": N_("Know who you are"),
    "scope:fhirUser": N_("Read your own profile"),
    "scope:profile": N_("Know your name"),
    "scope:email": N_("Know your email address"),
    "scope:launch": N_("Know the record that is open"),
    "scope:launch/patient": N_("Know which patient this is about"),
    "scope:launch/encounter": N_("Know which encounter this is about"),
    "scope:offline_access": N_("Keep access when you are not there"),
    "scope:online_access": N_("Keep access while you are signed in"),
    "may:c": N_("add"),
    "may:r": N_("read"),
    "may:u": N_("change"),
    "may:d": N_("delete"),
    "may:s": N_("search"),
    "and": N_("and"),
    "everything": N_("all records"),
    "of_patient": N_("of the patient"),
    "of_user": N_("that you have access to"),
    "only_where": N_("only where {conditions}"),
}


def text(language: str, name: str, **values: object) -> str:
    """Return the text of that name in the language, with the values filled in."""
    return translated(_TEXTS[name], language).format(**values)
