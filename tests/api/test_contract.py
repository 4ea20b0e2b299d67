"""Our OpenAPI beside all of BFL's of 2025, and beside the table of BFL's endpoints of today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.web.app import create_api

BFL = json.loads((Path(__file__).parent / "openapi-2025.json").read_text())
WORDS = {"description", "title", "summary", "example", "operationId", "tags"}
ONE_ERROR_SHAPE = (
    "every answer of 400 and above has one shape, ErrorResponse, whose detail is BFL's list where fields are "
    "at fault, and which says more"
)
SAYS_MORE = "ours says what BFL's leaves open"
OF_TODAY = "a field that BFL added since"

EXCEPTIONS = {
    "schema HTTPValidationError": ONE_ERROR_SHAPE,
    "schema ValidationError": "the same three fields, named InvalidField",
    **{
        f"{method} {path} answers 422": ONE_ERROR_SHAPE
        for path, methods in BFL["paths"].items()
        for method, operation in methods.items()
        if "422" in operation["responses"]
    },
    "post /v1/finetune answers 200": "BFL describes no answer; clients read id or finetune_id, ours has both",
    "schema AsyncResponse field cost": OF_TODAY,
    "schema AsyncResponse field input_mp": OF_TODAY,
    "schema AsyncResponse field output_mp": OF_TODAY,
    "schema AsyncWebhookResponse field polling_url": "clients read it whether or not they gave a webhook",
    "schema AsyncWebhookResponse required": "it is always there",
    "schema ResultResponse field result": SAYS_MORE,
    "schema ResultResponse field progress": SAYS_MORE,
    "schema ResultResponse field details": SAYS_MORE,
    "schema FinetuneDetailResponse field finetune_details": SAYS_MORE,
    "schema MyFinetunesResponse field finetunes": SAYS_MORE,
}
"""Where ours differs from BFL's of 2025, each with its reason; a difference that is gone must go here too."""

PICTURES: dict[str, dict[str, Any]] = {f"input_image_{number}": {} for number in range(2, 9)}
SEED: dict[str, Any] = {}
SIDE = {"default": 0, "minimum": 0, "multipleOf": 16}
KLEIN = {
    "prompt": {"required": True},
    "input_image": {},
    "input_image_2": {},
    "input_image_3": {},
    "input_image_4": {},
    "seed": SEED,
    "width": SIDE,
    "height": SIDE,
    "safety_tolerance": {"default": 2, "minimum": 0, "maximum": 5},
    "output_format": {"default": "jpeg"},
}
PRO = {**KLEIN, **PICTURES}
FLEX = {
    **PRO,
    "prompt_upsampling": {"default": True},
    "guidance": {"default": 5, "minimum": 1.5, "maximum": 10},
    "steps": {"default": 50, "minimum": 1, "maximum": 50},
}
KONTEXT = {
    "prompt": {"required": True},
    **{name: {} for name in ("input_image", "input_image_2", "input_image_3", "input_image_4")},
    "seed": SEED,
    "aspect_ratio": {},
    "output_format": {"default": "png"},
    "prompt_upsampling": {"default": False},
    "safety_tolerance": {"default": 2, "minimum": 0, "maximum": 6},
}
FINETUNED = {
    **KLEIN,
    "finetune_id": {"required": True},
    "finetune_strength": {"default": 1.0, "minimum": 0, "maximum": 2},
}
TODAY: dict[str, dict[str, dict[str, Any]]] = {
    "flux-2-klein-4b": KLEIN,
    "flux-2-klein-9b": KLEIN,
    "flux-2-pro": PRO,
    "flux-2-max": PRO,
    "flux-2-flex": FLEX,
    "flux-kontext-pro": KONTEXT,
    "flux-kontext-max": KONTEXT,
    "flux-kontext": KONTEXT,
    **{
        f"flux-2-klein-{kind}-finetuned": FINETUNED
        for kind in ("4b", "9b", "9b-kv", "9b-kv-bf16", "base-4b", "base-9b")
    },
}
"""BFL's endpoints of today as its reference has them; BFL publishes no OpenAPI that could be read instead."""


def shape(node: Any) -> Any:
    """A schema without its words; that the default is null goes without saying."""
    if isinstance(node, dict):
        return {
            key: shape(value)
            for key, value in node.items()
            if key not in WORDS and not (key == "default" and value is None)
        }
    return [shape(value) for value in node] if isinstance(node, list) else node


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    """Everything in which two descriptions differ, one line each; what only we have besides is free."""
    for path, methods in theirs["paths"].items():
        mine = ours["paths"].get(path, {})
        if set(mine) != set(methods):
            yield f"path {path}"
            continue
        for method, operation in methods.items():
            yield from (f"{method} {path} {what}" for what in _operation(operation, mine[method]))
    for name, schema in theirs["components"]["schemas"].items():
        found = ours["components"]["schemas"].get(name)
        if found is None:
            yield f"schema {name}"
        else:
            yield from (f"schema {name} {what}" for what in _schema(schema, found))
    if shape(theirs["components"]["securitySchemes"]) != shape(ours["components"]["securitySchemes"]):
        yield "security schemes"


def _operation(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for what in ("parameters", "requestBody", "security"):
        if shape(theirs.get(what)) != shape(ours.get(what)):
            yield what
    for status, answer in theirs["responses"].items():
        if shape(answer.get("content")) != shape(ours["responses"].get(status, {}).get("content")):
            yield f"answers {status}"


def _schema(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for what in ("type", "enum", "required"):
        if theirs.get(what) != ours.get(what):
            yield what
    before, now = theirs.get("properties", {}), ours.get("properties", {})
    for name in {**before, **now}:
        if name not in before or name not in now or shape(before[name]) != shape(now[name]):
            yield f"field {name}"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_api(ServiceContainer(Settings(data_dir=tmp_path_factory.mktemp("unused")))).openapi()


def test_ours_is_bfls_of_2025_but_for_the_exceptions(ours: dict[str, Any]) -> None:
    assert sorted(differences(BFL, ours)) == sorted(EXCEPTIONS)


@pytest.mark.parametrize(
    "change",
    [
        ("FluxProInputs", "interval", {"default": 1.5}),
        ("CannyInputs", "canny_low_threshold", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("FinetuneInputs", "mode", {"enum": ["general"]}),
        ("FluxProFillInputs", "extra", {"type": "string"}),
    ],
)
def test_a_difference_in_one_field_would_be_found(
    ours: dict[str, Any], change: tuple[str, str, dict[str, Any]]
) -> None:
    schema, field, values = change
    changed = json.loads(json.dumps(ours))
    properties = changed["components"]["schemas"][schema]["properties"]
    properties[field] = {**properties.get(field, {}), **values}
    assert set(differences(BFL, changed)) - set(EXCEPTIONS) == {f"schema {schema} field {field}"}


@pytest.mark.parametrize("path", TODAY)
def test_an_endpoint_of_today_has_bfls_fields_defaults_and_limits(ours: dict[str, Any], path: str) -> None:
    assert declared(ours, path) == {**TODAY[path], "webhook_url": {}, "webhook_secret": {}}


def test_expand_has_a_margin_at_each_side(ours: dict[str, Any]) -> None:
    found = declared(ours, "flux-pro-1.0-expand")
    assert found["image"] == {"required": True}
    for side in ("top", "bottom", "left", "right"):
        assert found[side] == {"default": 0, "minimum": 0, "maximum": 2048}


@pytest.mark.parametrize(
    ("alias", "path"), [("flux-fill", "flux-pro-1.0-fill"), ("flux-kontext", "flux-kontext-pro")]
)
def test_an_alias_takes_what_the_endpoint_takes(ours: dict[str, Any], alias: str, path: str) -> None:
    bodies = [ours["paths"][f"/v1/{name}"]["post"]["requestBody"] for name in (alias, path)]
    assert bodies[0] == bodies[1]


def declared(ours: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    """Each field of an endpoint's body with its default, limits and whether it is required."""
    body = ours["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = ours["components"]["schemas"][body["$ref"].rsplit("/", 1)[-1]]
    kept = {"default", "minimum", "maximum", "multipleOf"}
    found = {}
    for name, field in schema["properties"].items():
        inner: dict[str, Any] = next((one for one in field.get("anyOf", []) if one.get("type") != "null"), {})
        merged = {**inner, **field}
        found[name] = {key: value for key, value in merged.items() if key in kept and value is not None}
        if name in schema.get("required", []):
            found[name] = {"required": True}
    return found
