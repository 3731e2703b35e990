"""The page at the root: what this is and where to go."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>FHIR server</title>
<style>body{font:1.1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>FHIR R4 server</h1>
<p>The FHIR base is <a href="fhir/metadata">/fhir</a>. Three things to try:</p>
<ul>
<li><a href="fhir/metadata?_pretty=true">what the server can do</a></li>
<li><a href="fhir/Patient?_pretty=true">the patients</a></li>
<li><a href="fhir/_history?_pretty=true">the latest changes</a></li>
</ul>
</html>
"""


async def welcome(request: Request) -> HTMLResponse:
    """Answer with the page; it loads nothing from elsewhere and may be framed by nobody."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": policy})
