"""The OpenAPI 3.1 document, made from what the routes declare (`operations.py`) and the structs they name.

Made here and not by the framework, because handlers read raw bytes and problems need their own media type.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from shared.contract import problems
from shared.contract.problems import Kind, Problem
from shared.web.operations import Example, Operation, operation_of

_REF = "#/components/schemas/{name}"


def document(routes: Iterable[HTTPRoute], *, title: str, version: str, description: str) -> dict[str, Any]:
    """Describe all routes that declare themselves."""
    described = list(_described(routes))
    types = _types(operation for _, _, operation in described)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(_key, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route, handler, operation in described:
        for method in sorted(handler.http_methods):
            paths.setdefault(route.path_format, {})[method.lower()] = _operation(route, handler, operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description, "license": _LICENSE},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "dc_<id>_<secret>"}},
        },
    }


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}


def _described(routes: Iterable[HTTPRoute]) -> Iterator[tuple[HTTPRoute, HTTPRouteHandler, Operation]]:
    for route in routes:
        for handler in route.route_handlers:
            operation = operation_of(handler)
            if operation is not None and handler.http_methods != {"OPTIONS"}:
                yield route, handler, operation


def _types(operations: Iterable[Operation]) -> list[Any]:
    """Every type that stands in the document, each once."""
    found: dict[str, Any] = {_key(Problem): Problem}
    for operation in operations:
        named = [operation.takes, *operation.gives.values()]
        if operation.query is not None:
            named += [field.type for field in msgspec.structs.fields(operation.query)]
        for each in named:
            if each is not None:
                found[_key(each)] = each
    return list(found.values())


def _key(expected: Any) -> str:
    return f"{getattr(expected, '__module__', '')}:{expected!r}"


def _operation(
    route: HTTPRoute, handler: HTTPRouteHandler, operation: Operation, schemas: dict[str, Any]
) -> dict[str, Any]:
    lines = (handler.fn.__doc__ or "").strip().split("\n", 1)
    told: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "summary": lines[0],
        "tags": [_tag(route.path_format)],
        "parameters": [*_path_parameters(route), *_query_parameters(operation, schemas), *_headers(operation)],
        "responses": {**_answers(operation, schemas), **_problems(route, operation)},
    }
    if len(lines) > 1:
        told["description"] = " ".join(lines[1].split())
    if operation.scopes is None:
        told["security"] = []
    elif operation.scopes:
        told["description"] = (
            told.get("description", "") + f" Needs a key with {' or '.join(operation.scopes)} (or admin)."
        ).strip()
    if operation.takes is not None or operation.takes_text:
        told["requestBody"] = {"required": True, "content": _body(operation, schemas)}
    return told


def _tag(path: str) -> str:
    """The resource: the first word after the version."""
    words = [word for word in path.split("/") if word and word != "v1"]
    return words[0].partition(":")[0] if words else "service"


def _body(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.takes is not None:
        content["application/json"] = {"schema": schemas[_key(operation.takes)]}
        if operation.examples:
            content["application/json"]["examples"] = _examples(operation.examples)
    for media_type in operation.takes_text:
        content[media_type] = {"schema": {"type": "string"}}
    return content


def _examples(examples: Iterable[Example]) -> dict[str, Any]:
    return {example.name: {"value": msgspec.to_builtins(example.body)} for example in examples}


def _path_parameters(route: HTTPRoute) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **({"format": "uuid"} if parameter.type is UUID else {})},
        }
        for name, parameter in route.path_parameters.items()
    ]


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    return [
        {"name": field.encode_name, "in": "query", "required": field.required, "schema": schemas[_key(field.type)]}
        for field in msgspec.structs.fields(operation.query)
    ]


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": sentence, "schema": {"type": "string"}}
        for name, sentence in operation.headers.items()
    ]


def _answers(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, expected in operation.gives.items():
        answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if expected is not None:
            content = {"schema": schemas[_key(expected)]}
            if operation.answers and status == HTTPStatus.OK:
                content["examples"] = _examples(operation.answers)
            answer["content"] = {operation.gives_text or "application/json": content}
        answers[str(status)] = answer
    return answers


def _problems(route: HTTPRoute, operation: Operation) -> dict[str, Any]:
    kinds = {Kind.BAD_REQUEST, *operation.problems}
    if operation.scopes is not None:
        kinds |= {Kind.NO_KEY, Kind.UNAVAILABLE}
    if operation.scopes:
        kinds.add(Kind.FORBIDDEN)
    if operation.takes is not None:
        kinds |= {Kind.MALFORMED, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA, Kind.INVALID}
    if operation.takes_text:
        kinds |= {Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA, Kind.INVALID}
    if operation.query is not None:
        kinds.add(Kind.INVALID)
    if route.path_parameters:
        kinds.add(Kind.NOT_FOUND)
    told: dict[str, Any] = {}
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}}
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.slug)):
        status = str(kind.status)
        if kind.status in operation.gives:  # the route describes that body itself
            continue
        if status in told:
            told[status]["description"] += f"; or: {kind.title} (`{kind.uri}`)"
        else:
            told[status] = {"description": f"{kind.title} (`{kind.uri}`)", "content": content}
    return told
