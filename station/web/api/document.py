"""`/openapi.json` and `/docs`: describe the HTTP interface for programs and for people."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from station.web import app_keys
from station.web.endpoint import JSON, Endpoint
from station.web.http.problems import Problem

_ADDRESS: Final = "http://127.0.0.1:8001"


async def openapi(request: web.Request) -> web.Response:
    return web.Response(body=msgspec.json.encode(request.app[app_keys.OPENAPI]), content_type=JSON)


async def docs(request: web.Request) -> web.Response:
    """Render the OpenAPI document as a page in the station's style; it loads nothing from other hosts."""
    document: dict[str, Any] = request.app[app_keys.OPENAPI]
    schemas = document["components"]["schemas"]
    text = (
        request.app[app_keys.TEMPLATES]
        .get_template("docs.html")
        .render(
            endpoints=[_describe_endpoint(endpoint, document) for endpoint in request.app[app_keys.ENDPOINTS].values()],
            schemas={
                name: _describe_fields(schema) for name, schema in sorted(schemas.items()) if "properties" in schema
            },
            problem=Problem.__name__,
        )
    )
    return web.Response(text=text, content_type="text/html")


def _describe_endpoint(endpoint: Endpoint, document: dict[str, Any]) -> dict[str, Any]:
    operation = document["paths"][endpoint.path][endpoint.method.lower()]
    data = f"{endpoint.curl} " if endpoint.curl else ""
    return {
        "id": endpoint.name,
        "method": endpoint.method,
        "path": endpoint.path,
        "summary": endpoint.summary,
        "text": endpoint.text,
        "scope": endpoint.scope.value if endpoint.scope else "",
        "closed": endpoint.closed,
        "bodies": [body.__name__ for body in endpoint.bodies],
        "parameters": [
            (parameter["name"], _describe_schema(parameter["schema"]), parameter.get("description", ""))
            for parameter in operation.get("parameters", [])
        ],
        "answers": [
            (
                status,
                answer["description"],
                [_media_and_schema(content) for content in answer.get("content", {}).items()],
            )
            for status, answer in operation["responses"].items()
        ],
        "curl": f"curl {data}{_ADDRESS}{endpoint.path.replace('{serial}', 'camera-0001')}",
    }


def _media_and_schema(content: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    media, described = content
    return media, described["schema"].get("$ref", "").rpartition("/")[2]


def _describe_fields(schema: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    required = schema.get("required", [])
    return [
        (name, _describe_schema(field), name in required, field.get("description", ""))
        for name, field in schema["properties"].items()
    ]


def _describe_schema(schema: dict[str, Any]) -> str:
    """Describe a JSON schema in few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_describe_schema(choice) for choice in schema["anyOf"] if choice)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    words = [str(schema.get("type", "anything"))]
    if "items" in schema:
        words.append(f"of {_describe_schema(schema['items'])}")
    bounds = {
        "minimum": "from",
        "maximum": "to",
        "exclusiveMaximum": "below",
        "minLength": "at least",
        "maxLength": "at most",
        "minItems": "at least",
        "maxItems": "at most",
        "pattern": "like",
    }
    words += [f"{word} {schema[name]}" for name, word in bounds.items() if name in schema]
    return " ".join(words)
