"""The API's page, made of our own OpenAPI: no script, nothing fetched from elsewhere, so it works offline.

FastAPI's page loads its parts from a public network; a studio on a laptop may have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

Schema = Mapping[str, Any]

router = APIRouter(include_in_schema=False)

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h3 { font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .25rem; }
h3 b { color: #c2560c; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { border-top: 1px solid #8884; padding: .35rem .5rem .35rem 0; text-align: left; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; white-space: nowrap; }
div { overflow-x: auto; }
"""
_LIMITS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "exclusiveMinimum": "> {}",
    "multipleOf": "multiple of {}",
    "minLength": "≥ {} characters",
    "maxLength": "≤ {} characters",
}


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every address, with what it takes."""
    return HTMLResponse(page(request.app.openapi()))


def page(api: Schema) -> str:
    """The page for an OpenAPI description."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            section = "".join(_operation(api, method, path, operation))
            by_tag.setdefault(operation.get("tags", ["Other"])[0], []).append(section)
    about = "".join(f"<p>{_prose(part)}</p>" for part in api["info"]["description"].strip().split("\n\n"))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in by_tag.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>fluxsmith API</title>'
        f"<style>{_STYLE}</style></head><body><h1>fluxsmith {escape(api['info']['version'])}: the API</h1>"
        f'{about}<p>For programs: <a href="openapi.json">openapi.json</a>.</p>{sections}</body></html>'
    )


def _operation(api: Schema, method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f"<h3><b>{method.upper()}</b> {escape(path)}</h3>"
    yield f"<p>{_prose(operation.get('description') or operation.get('summary', ''))}</p>"
    rows = [
        _row(item["name"], item["schema"], item.get("required", False), item["in"])
        for item in operation.get("parameters", [])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = _resolved(api, content["schema"])
        required = body.get("required", [])
        fields = sorted(body.get("properties", {}).items(), key=lambda field: field[0] not in required)
        rows += [_row(name, _resolved(api, field), name in required, "body") for name, field in fields]
    if rows:
        yield f"<div><table><tr><th>Name</th><th>Takes</th><th>Says</th></tr>{''.join(rows)}</table></div>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _row(name: str, schema: Schema, required: bool, place: str) -> str:
    takes = [_kind(schema), *_limits(schema)]
    if required:
        takes.append("required")
    elif schema.get("default") is not None:
        takes.append(f"{schema['default']} if left out")
    if place != "body":
        takes.append(f"in the {place}")
    return (
        f"<tr><td>{escape(name)}</td><td>{escape(', '.join(takes))}</td>"
        f"<td>{escape(schema.get('description', ''))}</td></tr>"
    )


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    choices = [_kind(choice) for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    return " | ".join(choices) or str(schema.get("type", "object"))


def _limits(schema: Schema) -> list[str]:
    inner: Schema = next((choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"), {})
    merged = {**inner, **schema}
    return [words.format(f"{merged[name]:g}") for name, words in _LIMITS.items() if name in merged]


def _resolved(api: Schema, schema: Schema) -> Schema:
    """The schema with a reference at its top, or in its first choice, followed."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    reference = schema.get("$ref") or (choices[0].get("$ref") if choices else None)
    if reference is None:
        return schema
    found = api["components"]["schemas"][str(reference).rsplit("/", 1)[-1]]
    return {**found, **{name: value for name, value in schema.items() if name not in ("$ref", "anyOf")}}
