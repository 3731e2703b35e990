"""What the pages say, in English and Spanish."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "es")

_TEXTS: Mapping[str, tuple[str, str]] = {
    "server": ("Health records", "Historia clínica"),
    "sign_in": ("Sign in", "Iniciar sesión"),
    "sign_in_for": ("Sign in to go on to {app}.", "Inicie sesión para continuar a {app}."),
    "username": ("User name", "Nombre de usuario"),
    "password": ("Password", "Contraseña"),
    "wrong": ("The user name or the password is wrong.", "El nombre de usuario o la contraseña no son correctos."),
    "wait": (
        "Too many attempts. Try again in {seconds} seconds.",
        "Demasiados intentos. Vuelva a intentarlo dentro de {seconds} segundos.",
    ),
    "form_expired": (
        "This page was open for too long. Please try again.",
        "Esta página estuvo abierta demasiado tiempo. Inténtelo de nuevo.",
    ),
    "signed_in_as": ("You are signed in as {user}.", "Ha iniciado sesión como {user}."),
    "sign_out": ("Sign out", "Cerrar sesión"),
    "sign_out_ask": ("Sign out?", "¿Cerrar la sesión?"),
    "sign_out_for": ("{app} asks you to sign out here, too.", "{app} le pide que cierre también la sesión aquí."),
    "stay": ("Stay signed in", "Mantener la sesión"),
    "signed_out": ("You are signed out.", "Ha cerrado la sesión."),
    "consent": ("Allow {app}?", "¿Permitir {app}?"),
    "consent_text": (
        "{app} asks for access to health records. Untick what you do not want to allow.",
        "{app} solicita acceso a la historia clínica. Desmarque lo que no quiera permitir.",
    ),
    "unverified": (
        "This app registered itself: nobody here has checked who is behind it.",
        "Esta aplicación se registró por sí misma: nadie ha comprobado quién está detrás.",
    ),
    "leads_to": ("You will be taken to {host}.", "Será dirigido a {host}."),
    "about_patient": ("It concerns the patient {patient}.", "Se refiere al paciente {patient}."),
    "approve": ("Allow", "Permitir"),
    "deny": ("Do not allow", "No permitir"),
    "pick": ("Choose a patient", "Elija un paciente"),
    "pick_text": ("{app} works on one patient. Which one?", "{app} trabaja con un paciente. ¿Cuál?"),
    "name": ("Name", "Nombre"),
    "birth_date": ("Birth date", "Fecha de nacimiento"),
    "bad_date": ("Write the date as 1980-12-31, 1980-12 or 1980.", "Escriba la fecha como 1980-12-31, 1980-12 o 1980."),
    "identifier": ("Number (of the record or insurance)", "Número (de historia o de seguro)"),
    "number": ("no. {number}", "n.º {number}"),
    "more": ("Show more", "Mostrar más"),
    "search": ("Search", "Buscar"),
    "choose": ("Continue with this patient", "Continuar con este paciente"),
    "born": ("born {date}", "nacido el {date}"),
    "nobody": ("No patient was found.", "No se encontró ningún paciente."),
    "pick_encounter": ("Choose an encounter", "Elija un encuentro"),
    "pick_encounter_text": (
        "{app} works on one encounter of {patient}. Which one?",
        "{app} trabaja con un encuentro de {patient}. ¿Cuál?",
    ),
    "choose_encounter": ("Continue with this encounter", "Continuar con este encuentro"),
    "no_encounter": ("Continue without an encounter", "Continuar sin encuentro"),
    "encounter_date": ("Encounters of the day", "Encuentros del día"),
    "no_encounters_then": ("There are no encounters of that day.", "No hay encuentros de ese día."),
    "earlier": ("Show earlier ones", "Mostrar los anteriores"),
    "about_encounter": ("It concerns the encounter {encounter}.", "Se refiere al encuentro {encounter}."),
    "apps": ("Apps with access", "Aplicaciones con acceso"),
    "apps_text": (
        "You have given these apps access to health records. You can end it at any time.",
        "Ha dado a estas aplicaciones acceso a la historia clínica. Puede retirarlo en cualquier momento.",
    ),
    "no_apps": ("No app has access.", "Ninguna aplicación tiene acceso."),
    "granted_on": ("Allowed on {date}", "Permitido el {date}"),
    "used_on": ("last used on {date}", "usado por última vez el {date}"),
    "revoke": ("End access", "Retirar el acceso"),
    "revoke_of": ("End the access of {app}", "Retirar el acceso de {app}"),
    "revoked": ("The access has been ended.", "Se ha retirado el acceso."),
    "error": ("This did not work", "No ha funcionado"),
    "unknown_client": (
        "The app that sent you here is not registered with this server.",
        "La aplicación que le envió aquí no está registrada en este servidor.",
    ),
    "unknown_redirect": (
        "The app that sent you here did not name one of its registered addresses.",
        "La aplicación que le envió aquí no indicó una de sus direcciones registradas.",
    ),
    "unknown_return": (
        "The app that sent you here did not name one of its addresses to return to. You are still signed in.",
        "La aplicación que le envió aquí no indicó una de sus direcciones de retorno. La sesión sigue abierta.",
    ),
    "expired": (
        "This request is no longer valid. Go back to the app and start again.",
        "Esta solicitud ya no es válida. Vuelva a la aplicación y empiece de nuevo.",
    ),
    "bad_request": ("The request cannot be understood.", "No se entiende la solicitud."),
    "foreign_form": (
        "This form was not sent from a page of this server, or its page was open for too long.",
        "Este formulario no se envió desde una página de este servidor, o la página estuvo abierta demasiado tiempo.",
    ),
    "other_user": (
        "The record system started this app for another user. Sign out and try again.",
        "El sistema inició esta aplicación para otro usuario. Cierre la sesión e inténtelo de nuevo.",
    ),
    "server_error": ("Something went wrong here. Try again later.", "Algo ha fallado aquí. Inténtelo más tarde."),
    "other_language": ("Español", "English"),
    # What scopes mean
    "scope:openid": ("Know who you are", "Saber quién es usted"),
    "scope:fhirUser": ("Read your own profile", "Leer su propio perfil"),
    "scope:profile": ("Know your name", "Saber su nombre"),
    "scope:email": ("Know your email address", "Saber su correo electrónico"),
    "scope:launch": ("Know the record that is open", "Saber qué historia está abierta"),
    "scope:launch/patient": ("Know which patient this is about", "Saber de qué paciente se trata"),
    "scope:launch/encounter": ("Know which encounter this is about", "Saber de qué encuentro se trata"),
    "scope:offline_access": ("Keep access when you are not there", "Mantener el acceso cuando usted no esté"),
    "scope:online_access": ("Keep access while you are signed in", "Mantener el acceso mientras tenga la sesión"),
    "may:c": ("add", "añadir"),
    "may:r": ("read", "leer"),
    "may:u": ("change", "modificar"),
    "may:d": ("delete", "borrar"),
    "may:s": ("search", "buscar"),
    "and": ("and", "y"),
    "everything": ("all records", "todos los registros"),
    "of_patient": ("of the patient", "del paciente"),
    "of_user": ("that you have access to", "a los que usted tiene acceso"),
    "only_where": ("only where {conditions}", "solo donde {conditions}"),
}


def text(language: str, name: str, **values: object) -> str:
    """Return the text of that name in the language, with the values filled in."""
    return _TEXTS[name][LANGUAGES.index(language)].format(**values)


def language_of(*preferences: str | None) -> str:
    """Return the first language that there are texts in, of preferences as in ui_locales or Accept-Language."""
    for preference in preferences:
        for part in (preference or "").replace(",", " ").split():
            tag = part.partition(";")[0].partition("-")[0].lower()
            if tag in LANGUAGES:
                return tag
    return LANGUAGES[0]
