"""The API's description as one page: read it, fill in a form, send. It needs nothing from any other server."""

import json
from html import escape
from importlib import resources
from string import Template
from typing import Any

CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Goes out with the page: whatever stands in it, it can only talk to this server."""


def page(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    template = Template(resources.files("shared.web").joinpath("reference.html").read_text(encoding="utf-8"))
    info = document["info"]
    return template.substitute(
        title=escape(info["title"]),
        version=escape(info["version"]),
        description=escape(info["description"]),
        operations="\n".join(_resources(document["paths"])),
        schemas="\n".join(
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><pre>{_pretty(schema)}</pre></details>'
            for name, schema in document["components"]["schemas"].items()
        ),
    )


def _resources(paths: dict[str, Any]) -> list[str]:
    parts: list[str] = []
    last = None
    for path, methods in sorted(paths.items(), key=lambda item: (_tag(item[1]), item[0])):
        if _tag(methods) != last:
            last = _tag(methods)
            parts.append(f"<h2>{escape(last)}</h2>")
        parts.extend(_operation(path, method, told) for method, told in methods.items())
    return parts


def _tag(methods: dict[str, Any]) -> str:
    return str(next(iter(methods.values()))["tags"][0])


def _operation(path: str, method: str, told: dict[str, Any]) -> str:
    fields = "".join(
        f"<label>{escape(field['name'])} ({field['in']}) {escape(field.get('description', ''))}"
        f'<input name="{escape(field["name"])}" data-in="{field["in"]}" {"required" if field["required"] else ""}></label>'
        for field in told["parameters"]
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td><td>{_link(answer)}</td></tr>"
        for status, answer in told["responses"].items()
    )
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(told['summary'])}</summary><p>{escape(told.get('description', ''))}</p>"
        f'<form data-method="{method.upper()}" data-path="{escape(path)}">{fields}{_body(told)}'
        f"<button>Send</button><pre><output></output></pre></form>"
        f"<table><tr><th>answer</th><th></th><th>body</th></tr>{answers}</table></details>"
    )


def _body(told: dict[str, Any]) -> str:
    content: dict[str, Any] = told.get("requestBody", {}).get("content", {})
    if not content:
        return ""
    media_type, described = next(iter(content.items()))
    examples: list[dict[str, Any]] = list(described.get("examples", {}).values())
    example = examples[0]["value"] if examples else None
    text = "" if example is None else escape(json.dumps(example, indent=2, ensure_ascii=False))
    return (
        f"<label>body ({escape(media_type)}) {_link({'content': content})}"
        f'<textarea rows="8" data-type="{escape(media_type)}">{text}</textarea></label>'
    )


def _link(answer: dict[str, Any]) -> str:
    for described in answer.get("content", {}).values():
        name = described["schema"].get("$ref", "").rpartition("/")[2]
        if name:
            return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>'
    return ""


def _pretty(schema: object) -> str:
    return escape(json.dumps(schema, indent=2, ensure_ascii=False))
