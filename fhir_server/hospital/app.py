"""The facade as an ASGI application: its endpoints, errors as problem+json, and the description of both."""

from __future__ import annotations

from importlib.resources import files

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fhir_server.errors import FhirError
from fhir_server.hospital.accounts import contact, family, gdpr, password_reset, sign_up
from fhir_server.hospital.accounts import endpoints as user
from fhir_server.hospital.api import texts
from fhir_server.hospital.api.body_limit import BodyLimit
from fhir_server.hospital.api.caller import language_of, patient_parameter
from fhir_server.hospital.api.description.openapi import DescribedApi, errors, operation_id
from fhir_server.hospital.api.methods import HeadAsGet, allowed
from fhir_server.hospital.api.parameters import only_known
from fhir_server.hospital.api.problem import Problem, answer, problem_of
from fhir_server.hospital.billing import endpoints as payment
from fhir_server.hospital.billing import webhooks
from fhir_server.hospital.booking import endpoints as booking
from fhir_server.hospital.booking import follow_up, history
from fhir_server.hospital.catalogue import endpoints as catalogue
from fhir_server.hospital.notifications import endpoints as notifications
from fhir_server.hospital.notifications import stream
from fhir_server.hospital.records import documents, lab_tests, medicine, treatment_plan
from fhir_server.hospital.visits import endpoints as clinic
from fhir_server.http import log
from fhir_server.settings import Settings
from translations.negotiation import choose_language

_HMS = (
    sign_up.router,
    user.router,
    contact.router,
    password_reset.router,
    gdpr.router,
    family.router,
    catalogue.router,
    booking.router,
    payment.router,
    webhooks.router,
    clinic.router,
    follow_up.router,
    notifications.router,
    stream.router,
    history.router,
)
_EHR = (treatment_plan.router, lab_tests.router, medicine.router, documents.router)
"""The health record's endpoints, which need nothing but FHIR: here or, by its callers' tokens, on another server."""
_ALWAYS = [Depends(only_known)]
_STATUSES = {404: "not_found", 405: "method_not_allowed", 400: "malformed", 413: "too_large"}


def create_facade(settings: Settings) -> FastAPI:
    """Return the application; `state.facade` is its FacadeServer, set when the database is connected."""
    elsewhere = settings.fhir_base_url is not None
    app = DescribedApi(
        (settings.served & {"hms", "ehr"}, elsewhere),
        title="Hospital",
        version="1",
        description="The patient app's endpoints. Every answer comes from the FHIR resources under /fhir.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=operation_id,
    )
    if "hms" in settings.served:
        for router in _HMS:
            app.include_router(router, dependencies=_ALWAYS)
    if "ehr" in settings.served:
        for router in _EHR:
            app.include_router(
                router,
                dependencies=[*_ALWAYS, Depends(patient_parameter)] if elsewhere else _ALWAYS,
                responses=errors("fhir_refused", "unavailable") if elsewhere else {},
            )
    app.add_exception_handler(FhirError, _fhir_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    app.add_route("/openapi.json", _description, include_in_schema=False)
    app.add_route("/docs", _docs, include_in_schema=False)
    app.add_route("/docs/{name}", _docs_file, include_in_schema=False)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, largest_upload=settings.max_body_bytes)
    return app


async def _description(request: Request) -> Response:
    app: DescribedApi = request.app
    await app.described()
    return Response(app.description_json, media_type="application/json")


async def _fhir_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FhirError)
    return answer(problem_of(error), await language_of(request))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    language = await language_of(request)
    faulty = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faulty):
        return answer(Problem("malformed"), language)
    faults = [(_field(fault["loc"]), texts.of_validation(fault)) for fault in faulty]
    return answer(Problem("validation_failed", errors=faults), language)


def _field(place: tuple[int | str, ...]) -> str:
    name = ".".join(str(part) for part in place[1:]) or "body"
    return name.encode("utf-8", "replace").decode()[:200]  # an unknown field may be called anything


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {}
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed(request.app.routes, request.scope))
    return answer(Problem(_STATUSES.get(error.status_code, "malformed"), headers=headers), await language_of(request))


async def _fault(request: Request, error: Exception) -> Response:
    log.fault(error)
    return answer(Problem("internal_error"), choose_language(request.headers.get("accept-language")))


# --- The browsable description, from files of this installation: a hospital's network may know no other -------------

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Hospital: endpoints</title>
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script>
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", persistAuthorization: true, filter: true});
</script></body></html>"""
_DOCS_HEADERS = {
    # The page holds the tokens that are typed into it: nobody else's page may frame it.
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "application/javascript"}


async def _docs(_: Request) -> Response:
    return HTMLResponse(_PAGE, headers=_DOCS_HEADERS)


async def _docs_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise Problem("not_found")
    content = files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return Response(
        content,
        media_type=_FILES[name],
        headers={"Cache-Control": "max-age=86400", "X-Content-Type-Options": "nosniff"},
    )
