"""Our OpenAPI beside BFL's of 2025: every field that both have says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

BFL = json.loads((Path(__file__).parent / "openapi-2025.json").read_text())
BODIES = (
    "FluxPro11Inputs",
    "FluxDevInputs",
    "FluxProFinetuneInputs",
    "FinetuneInputs",
    "DeleteFinetuneInputs",
)
ANSWERS = (
    "ResultResponse",
    "AsyncResponse",
    "MyFinetunesResponse",
    "FinetuneDetailResponse",
    "DeleteFinetuneResponse",
)
SERVED = (
    "/v1/get_result",
    "/v1/flux-pro-1.1",
    "/v1/flux-dev",
    "/v1/flux-pro-finetuned",
    "/v1/finetune",
    "/v1/finetune_details",
    "/v1/my_finetunes",
    "/v1/delete_finetune",
)
WORDS = {"description", "title", "summary", "example"}


def shape(node: Any) -> Any:
    """A schema without its words, unions in order."""
    if isinstance(node, dict):
        return {
            key: shape(value)
            for key, value in node.items()
            if key not in WORDS and not (key == "default" and value is None)
        }
    return [shape(value) for value in node] if isinstance(node, list) else node


@pytest.fixture
def ours(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.mark.parametrize("name", BODIES)
def test_bodies_have_bfls_fields_defaults_limits_and_required_marks(ours: dict[str, Any], name: str) -> None:
    theirs, mine = BFL["components"]["schemas"][name], ours["components"]["schemas"][name]
    assert {key: shape(value) for key, value in mine["properties"].items()} == {
        key: shape(value) for key, value in theirs["properties"].items()
    }
    assert mine.get("required", []) == theirs.get("required", [])


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_have_bfls_fields(ours: dict[str, Any], name: str) -> None:
    theirs, mine = BFL["components"]["schemas"][name], ours["components"]["schemas"][name]
    assert set(theirs["properties"]) <= set(mine["properties"])
    assert set(theirs["required"]) <= set(mine["required"])


@pytest.mark.parametrize("path", SERVED)
def test_paths_have_bfls_methods_parameters_and_keys(ours: dict[str, Any], path: str) -> None:
    theirs, mine = BFL["paths"][path], ours["paths"][path]
    assert set(mine) == set(theirs)
    for method, operation in theirs.items():
        names = [(item["name"], item["in"], item["required"]) for item in operation.get("parameters", [])]
        assert [
            (item["name"], item["in"], item["required"]) for item in mine[method].get("parameters", [])
        ] == names
        assert mine[method].get("security") == operation.get("security")


def test_states_are_bfls_closed_set(ours: dict[str, Any]) -> None:
    schemas = ours["components"]["schemas"]
    assert schemas["StatusResponse"]["enum"] == BFL["components"]["schemas"]["StatusResponse"]["enum"]
