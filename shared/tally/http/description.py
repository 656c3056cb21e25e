"""The description of the interface: OpenAPI of all public functions in one document, and Swagger UI that shows it.

`python -m tally.http.description FILE` writes the document.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles

from tally import __version__, jsontext
from tally.http import endpoints, ingest_description, management
from tally.http.api import JsonAnswer, health
from tally.http.refusals import PROBLEM_SCHEMAS, refusal_components

_TITLE = "Tally"
_ABOUT = """Meters API calls and AI tokens: who used what, how much, how fast, how often it failed, and what it cost.

Paths alone decide which function answers. Errors are `application/problem+json`; 405 carries `Allow`. Every endpoint
that answers questions refuses parameters that it does not know.
"""
_TAGS = [
    {"name": "usage", "description": "Any question about usage, and single events. Scope `read` (own) or `read:all`."},
    {"name": "ingest", "description": "Sending events. Scope `ingest`."},
    {"name": "system A", "description": "The content platform's questions about AI tokens, under its own names."},
    {"name": "system B", "description": "The bot platform's activity, accounts and diagnostics."},
    {"name": "system C", "description": "The generator's statistics, records and forecast."},
    {"name": "system D", "description": "The API gateway's statistics of calls, tokens and routes."},
    {"name": "limits", "description": "Whether a call may be made. Scope `limits`."},
    {"name": "management", "description": "Prices, exchange rates, budgets, and who changed them. Scope `admin`."},
    {"name": "health", "description": "For whoever watches the functions. No token."},
]
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token of Tally (tly_…). Authorization may also hold it without Bearer.",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same token."},
}
_ASSETS = "/docs/assets"


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1 of every public endpoint."""
    app = FastAPI(
        title=_TITLE,
        version=__version__,
        description=_ABOUT,
        openapi_tags=_TAGS,
        default_response_class=JsonAnswer,
        generate_unique_id_function=lambda route: route.name,
    )
    endpoints.include(app)
    management.include(app)
    app.include_router(health)
    described = app.openapi()
    for router in (*endpoints.ROUTERS, *management.ROUTERS, health):
        for route in router.routes:
            if isinstance(route, APIRoute):
                path = described["paths"][route.path_format]
                methods = [method.lower() for method in route.methods or ()]
                path |= {method: _operation(route, path[method]) for method in methods}
    return {
        **described,
        "paths": {**ingest_description.paths(), **described["paths"]},
        "components": {
            "schemas": {**ingest_description.schemas(), **PROBLEM_SCHEMAS},
            "responses": refusal_components(),
            "securitySchemes": _SECURITY_SCHEMES,
        },
        "security": [{name: []} for name in _SECURITY_SCHEMES],
    }


def _operation(route: APIRoute, described: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description of an endpoint with what it loses (null in examples) and without what it makes up."""
    summary, _, rest = route.description.partition("\n")
    operation = {**described, "summary": summary.rstrip("."), "description": rest.strip()}
    if not rest:
        del operation["description"]
    operation["responses"] = {
        status: {"$ref": response["$ref"]} if "$ref" in response else route.responses[int(status)]
        for status, response in described["responses"].items()
    }
    if "parameters" in described:
        operation["parameters"] = [_parameter(parameter) for parameter in described["parameters"]]
    return operation


def _parameter(described: dict[str, Any]) -> dict[str, Any]:
    """Its example beside its schema, where Swagger UI looks for it; and no null: in a query it is given or not."""
    schema = {name: part for name, part in described["schema"].items() if name not in ("title", "description")}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema = {**kinds[0], **schema}
    examples = schema.pop("examples", ())
    return {**described, "schema": schema, **({"example": examples[0]} if examples else {})}


def serve(app: FastAPI) -> None:
    """Adds `/openapi.json` and `/docs`, which reaches no other host."""

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(_served(), media_type="application/json")

    @app.get("/docs")
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=_TITLE,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
            swagger_ui_parameters={"validatorUrl": None},
        )

    app.mount(_ASSETS, StaticFiles(packages=[("flask_swagger_ui", "dist")]))


def text() -> str:
    """The document for people to compare: its names sorted, a line each."""
    return json.dumps(document(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


@cache
def _served() -> bytes:
    return jsontext.dump(document())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), "utf-8")
