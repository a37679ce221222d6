"""Makes the OpenAPI 3.1 document from the list of endpoints and their msgspec types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from shared import limits
from shared.errors import ErrorCode
from station.registry.tokens import Scope
from station.web.endpoint import Answer, Endpoint
from station.web.http.problems import STATUS, Problem

PROBLEM_MEDIA: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"

_EVERYWHERE: Final[tuple[ErrorCode, ...]] = (
    "http.host-unknown",
    "http.malformed",
    "http.too-many",
    "registry.unavailable",
)
_SERIAL: Final = {
    "name": "serial",
    "in": "path",
    "required": True,
    "description": "A unit's serial number.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": limits.SERIAL_CHARACTERS,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]*$",
    },
}
_SCOPES: Final = {
    Scope.READ: "Read units and statistics.",
    Scope.PROVISION: "Provision units.",
    Scope.ADMIN: "Revoke and reinstate; includes the others.",
}
Json = dict[str, Any]


def describe(endpoints: Iterable[Endpoint], version: str) -> Json:
    """Return the document, as a JSON value."""
    listed = list(endpoints)
    types = _collect_types(listed)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    known = dict(zip((id(kind) for kind in types), schemas, strict=True))
    for component in components.values():
        _put_descriptions_last(component.get("properties", {}))
    components["BulkRequest"]["properties"]["devices"]["items"] = {
        "anyOf": [{"$ref": _REF.format(name="ProvisioningRequest")}, {}]
    }
    paths: dict[str, Json] = defaultdict(dict)
    for endpoint in listed:
        paths[endpoint.path][endpoint.method.lower()] = _operation(endpoint, known, components)
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Birthmark station",
            "version": version,
            "summary": "Provisioning and validation of cameras that can prove their photos.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(paths),
        "components": {
            "schemas": {name: schema for name, schema in components.items() if not name.endswith("Query")},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token made with `birthmark-station tokens create`. Scopes: "
                    + " ".join(f"`{scope.value}`: {text}" for scope, text in _SCOPES.items()),
                }
            },
        },
    }
    described: Json = _use_ecma_patterns(document)
    return described


def _collect_types(endpoints: list[Endpoint]) -> list[Any]:
    kinds = [Problem, *(body for e in endpoints for body in e.bodies), *(e.query for e in endpoints)]
    kinds += [kind for e in endpoints for answer in e.answers for kind in answer.content.values()]
    return list({id(kind): kind for kind in kinds if kind is not None}.values())


def _operation(endpoint: Endpoint, known: dict[int, Json], components: Json) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "responses": _responses(endpoint, known),
    }
    if endpoint.text:
        operation["description"] = endpoint.text
    if endpoint.scope is not None:
        operation["security"] = [{"bearer": []}] if endpoint.closed else [{}, {"bearer": []}]
        operation["x-scope"] = endpoint.scope.value
    parameters = [_SERIAL] if "{serial}" in endpoint.path else []
    if endpoint.query is not None:
        parameters += _query(components[endpoint.query.__name__])
    if parameters:
        operation["parameters"] = parameters
    if endpoint.bodies:
        schemas = [known[id(body)] for body in endpoint.bodies]
        content = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _query(schema: Json) -> list[Json]:
    found = []
    for name, field in schema["properties"].items():
        rest = {key: value for key, value in field.items() if key not in ("description", "default")}
        choices = [choice for choice in rest.get("anyOf", []) if choice != {"type": "null"}]
        if field.get("default") not in (None, ""):
            choices = [{**rest, "default": field["default"]}]
        parameter = {"name": name, "in": "query", "schema": choices[0] if choices else rest}
        if "description" in field:
            parameter["description"] = field["description"]
        found.append(parameter)
    return found


def _responses(endpoint: Endpoint, known: dict[int, Json]) -> Json:
    responses = {str(answer.status): _answer(answer, known) for answer in endpoint.answers}
    codes: dict[int, list[str]] = defaultdict(list)
    for code in sorted(endpoint.codes.union(_EVERYWHERE)):
        codes[STATUS[code]].append(code)
    for status, named in sorted(codes.items()):
        problem = {PROBLEM_MEDIA: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}}
        if str(status) in responses:
            responses[str(status)]["content"] |= problem
            continue
        responses[str(status)] = {"description": ", ".join(f"`{code}`" for code in named), "content": problem}
        if status == 429:
            responses["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
        if status == 401:
            responses["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return responses


def _answer(answer: Answer, known: dict[int, Json]) -> Json:
    content: Json = {}
    for media, kind in answer.content.items():
        text = {"schema": {"type": "object"} if media.endswith("json") else {"type": "string"}}
        content[media] = text if kind is None else {"schema": known[id(kind)]}
    described: Json = {"description": answer.text} | ({"content": content} if content else {})
    if answer.headers:
        described["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    return described


def _put_descriptions_last(fields: Json) -> None:
    """Let a person who reads the document see a field's type and limits first."""
    for field in fields.values():
        if "description" in field:
            field["description"] = field.pop("description")


def _use_ecma_patterns(value: Any) -> Any:
    r"""Write patterns in JSON Schema's dialect, which has `$` for Python's `\Z`."""
    if isinstance(value, dict):
        return {
            key: item.replace("\\Z", "$") if key == "pattern" and isinstance(item, str) else _use_ecma_patterns(item)
            for key, item in value.items()
        }
    return [_use_ecma_patterns(item) for item in value] if isinstance(value, list) else value
