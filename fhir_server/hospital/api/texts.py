"""What is said about a faulty field, in English and Spanish."""

from __future__ import annotations

from typing import Any

from mappings.notifications.messages import Language

_TEXTS: dict[str, tuple[str, str]] = {
    "missing": ("This field is required.", "Este campo es obligatorio."),
    "extra_forbidden": ("There is no such field.", "No existe ese campo."),
    "string_too_short": ("This is too short.", "Es demasiado corto."),
    "string_too_long": ("This is too long.", "Es demasiado largo."),
    "literal_error": ("This is not one of the possible values.", "No es uno de los valores posibles."),
    "blank": ("This must not be blank.", "No debe estar vacío."),
    "email": ("This is not an email address.", "No es una dirección de correo electrónico."),
    "phone": (
        "This is not a phone number; write it with + and the country's code.",
        "No es un número de teléfono; escríbalo con + y el prefijo del país.",
    ),
    "timezone": ("This is not an IANA time zone.", "No es una zona horaria IANA."),
    "language": ("This is not a language code.", "No es un código de idioma."),
    "birth_date": ("This date is in the future.", "Esta fecha es futura."),
    "password_short": ("A password has at least 10 characters.", "La contraseña necesita al menos 10 caracteres."),
    "password_long": ("A password has at most 256 characters.", "La contraseña tiene como máximo 256 caracteres."),
    "password_common": ("This password is too easy to guess.", "Esta contraseña es demasiado fácil de adivinar."),
    "password_personal": (
        "A password must not contain your name or address.",
        "La contraseña no debe contener su nombre ni su dirección.",
    ),
    "picture": (
        "A picture is an https URL, or a small image as a data: URL.",
        "La imagen es una URL https, o una imagen pequeña como URL data:.",
    ),
    "characters": ("This holds what is no character.", "Contiene algo que no es un carácter."),
    "one_line": (
        "This must be one line, without line breaks or control characters.",
        "Debe ser una sola línea, sin saltos de línea ni caracteres de control.",
    ),
    "date": ("This must be a date such as 2026-03-09.", "Debe ser una fecha como 2026-03-09."),
    "time": ("This must be a time such as 14:30.", "Debe ser una hora como 14:30."),
    "unknown_id": ("There is none with this id.", "No existe ninguno con este id."),
    "not_here": ("This doctor does not work there.", "Este médico no trabaja allí."),
    "not_offered": ("This clinic does not offer it.", "Esta clínica no lo ofrece."),
    "slot_or_time": (
        "Give slot_id, or appointment_date and appointment_time.",
        "Indique slot_id, o appointment_date y appointment_time.",
    ),
    "too_wide": ("At most 31 days can be asked for.", "Se pueden pedir como máximo 31 días."),
    "order": ("This is before the start.", "Es anterior al inicio."),
    "offset": ("A time needs its offset, as in 2026-03-09T14:30:00Z.", "La hora necesita su diferencia con UTC."),
    "near": ("Write latitude and longitude as 43.65,-70.25.", "Escriba latitud y longitud como 43.65,-70.25."),
    "card_token": ("Paying by card needs a card_token.", "Para pagar con tarjeta hace falta card_token."),
    "positive": ("The amount must be positive.", "El importe debe ser positivo."),
    "currency": ("The amount does not fit the currency.", "El importe no corresponde a la moneda."),
    "one_of_both": ("Give one of both.", "Indique uno de los dos."),
    "both_coordinates": ("Give latitude and longitude, or neither.", "Indique latitud y longitud, o ninguna."),
    "which_patient": (
        "The token does not show one Patient alone: say whose record is meant.",
        "El token no muestra un único Patient: indique de quién es la historia.",
    ),
    "policy": ("There is no insurance policy to verify.", "No hay ninguna póliza que verificar."),
    "file_type": ("Files of this type are not taken.", "No se aceptan archivos de este tipo."),
    "clinic_closed": ("The clinic is closed.", "La clínica está cerrada."),
    "skipped_time": ("The clock skips this time on that day.", "El reloj salta esta hora ese día."),
}
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("string_pattern", "This is not valid."),
    ("int", "This must be a whole number."),
    ("decimal", "This must be a number."),
    ("float", "This must be a number."),
    ("datetime", "This must be a time such as 2026-03-09T14:30:00Z."),
    ("date", "This must be a date such as 2026-03-09."),
    ("time", "This must be a time such as 14:30."),
    ("bool", "This must be true or false."),
    ("string", "This must be a text."),
    ("greater", "This is too small."),
    ("less", "This is too large."),
)
_SPANISH = {
    "The disk of the database is full. It goes on by itself when there is room.": (
        "El disco de la base de datos está lleno. Seguirá por sí sola cuando haya espacio."
    ),
    "The database was killed from outside, as for want of memory; it is being started again.": (
        "La base de datos fue detenida desde fuera, por ejemplo por falta de memoria; se está iniciando de nuevo."
    ),
    "The database cannot start: it may not read or write its files. Somebody must correct that.": (
        "La base de datos no puede iniciarse: no puede leer o escribir sus archivos. Alguien debe corregirlo."
    ),
    "The database cannot start: its files are damaged. Somebody must restore them.": (
        "La base de datos no puede iniciarse: sus archivos están dañados. Alguien debe restaurarlos."
    ),
    "The database cannot start: its files are those of another version. Somebody must correct that.": (
        "La base de datos no puede iniciarse: sus archivos son de otra versión. Alguien debe corregirlo."
    ),
    "The database cannot start: its address is taken by another process.": (
        "La base de datos no puede iniciarse: otro proceso ocupa su dirección."
    ),
    "The database cannot go on: it may not open as many files as it needs.": (
        "La base de datos no puede seguir: no puede abrir tantos archivos como necesita."
    ),
    "The database cannot start: its program lacks something on this machine.": (
        "La base de datos no puede iniciarse: a su programa le falta algo en esta máquina."
    ),
    "The database has ended unexpectedly; it is being started again.": (
        "La base de datos terminó inesperadamente; se está iniciando de nuevo."
    ),
    "This must be a whole number.": "Debe ser un número entero.",
    "This must be a number.": "Debe ser un número.",
    "This must be a time such as 2026-03-09T14:30:00Z.": "Debe ser una hora como 2026-03-09T14:30:00Z.",
    "This must be a date such as 2026-03-09.": "Debe ser una fecha como 2026-03-09.",
    "This must be a time such as 14:30.": "Debe ser una hora como 14:30.",
    "This must be true or false.": "Debe ser true o false.",
    "This must be a text.": "Debe ser un texto.",
    "This is too small.": "Es demasiado pequeño.",
    "This is too large.": "Es demasiado grande.",
    "This is not valid.": "No es válido.",
}

_MAPPINGS = {"must not be blank": "blank", "must not hold control characters": "characters"}
"""How the mappings say what the table has a key for."""


def said(message: str, language: Language) -> str:
    """Return the text that a key stands for; a text that is no key stays as it is."""
    if message in _TEXTS:
        return _TEXTS[message][1 if language == "es" else 0]
    return _SPANISH.get(message, message) if language == "es" else message


def of_validation(error: dict[str, Any]) -> str:
    """Return the key or text for an error that pydantic found."""
    kind: str = error["type"]
    if kind in _TEXTS:
        return kind
    if kind == "value_error":
        reason = str(error.get("ctx", {}).get("error", ""))
        reason = _MAPPINGS.get(reason, reason)
        return reason if reason in _TEXTS else "This is not valid."
    return next((text for start, text in _FAMILIES if kind.startswith(start)), "This is not valid.")
