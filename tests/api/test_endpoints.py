"""Every generation endpoint: text is drawn, what the model lacks is refused in words, nothing is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.providers.base import BaseModelInfo
from fluxsmith.providers.local import LocalProvider
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.web.app import create_api
from tests.api.client import BflClient
from tests.api.conftest import HERE

PICTURE = "iVBORw0KGgo="
FROM_TEXT = (
    "flux-pro-1.1",
    "flux-pro",
    "flux-dev",
    "flux-pro-1.1-ultra",
    "flux-pro-1.0-canny",
    "flux-pro-1.0-depth",
    "flux-2-klein-4b",
    "flux-2-klein-9b",
    "flux-2-pro",
    "flux-2-max",
    "flux-2-flex",
    "flux-kontext-pro",
    "flux-kontext-max",
    "flux-kontext",
)
FINETUNED_FROM_TEXT = (
    "flux-pro-finetuned",
    "flux-pro-1.1-ultra-finetuned",
    "flux-2-klein-4b-finetuned",
    "flux-2-klein-9b-finetuned",
    "flux-2-klein-9b-kv-finetuned",
    "flux-2-klein-9b-kv-bf16-finetuned",
    "flux-2-klein-base-4b-finetuned",
    "flux-2-klein-base-9b-finetuned",
)
ASKS_FOR_MORE = (
    ("flux-pro-1.1", {"image_prompt": PICTURE}, "image_prompt"),
    ("flux-pro", {"image_prompt": PICTURE}, "image_prompt"),
    ("flux-pro", {"interval": 3.5}, "interval"),
    ("flux-dev", {"image_prompt": PICTURE}, "image_prompt"),
    ("flux-pro-1.1-ultra", {"image_prompt": PICTURE, "image_prompt_strength": 0.5}, "image_prompt"),
    ("flux-pro-1.1-ultra", {"raw": True}, "raw"),
    ("flux-pro-1.0-fill", {"image": PICTURE}, "fill"),
    ("flux-pro-1.0-fill", {"image": PICTURE, "mask": PICTURE}, "fill"),
    ("flux-fill", {"image": ""}, "fill"),
    ("flux-pro-1.0-expand", {"image": PICTURE, "left": 64}, "fill"),
    ("flux-pro-1.0-canny", {"control_image": PICTURE}, "canny"),
    ("flux-pro-1.0-canny", {"preprocessed_image": PICTURE}, "canny"),
    ("flux-pro-1.0-depth", {"control_image": PICTURE}, "depth"),
    ("flux-2-klein-9b", {"input_image_4": PICTURE}, "edit"),
    ("flux-2-pro", {"input_image_8": PICTURE}, "edit"),
    ("flux-2-flex", {"input_image": "https://example.org/cat.png"}, "edit"),
    ("flux-kontext-max", {"input_image": PICTURE}, "edit"),
)
FINETUNED_ASK_FOR_MORE = (
    ("flux-pro-finetuned", {"image_prompt": PICTURE}, "image_prompt"),
    ("flux-pro-1.0-fill-finetuned", {"image": PICTURE}, "fill"),
    ("flux-pro-1.0-canny-finetuned", {"control_image": PICTURE}, "canny"),
    ("flux-pro-1.0-depth-finetuned", {"control_image": PICTURE}, "depth"),
    ("flux-pro-1.1-ultra-finetuned", {"image_prompt": PICTURE}, "image_prompt"),
    ("flux-2-klein-4b-finetuned", {"input_image": PICTURE}, "edit"),
)


class Painter:
    """A provider whose one model can do what the tiny one cannot."""

    name = "painter"

    def models(self) -> list[BaseModelInfo]:
        can = frozenset({"text", "image_prompt", "edit", "fill", "canny", "depth", "raw", "interval"})
        return [BaseModelInfo("easel", "Easel", "flux2", self.name, "MIT", 64, can, trainable=False)]


@pytest.fixture
def beside_a_painter(tmp_path: Path, models_dir: Path) -> Iterator[TestClient]:
    """A server whose chosen model is the tiny one, with a more capable one beside it."""
    container = ServiceContainer(Settings(data_dir=tmp_path, models_dir=models_dir, model="tiny"))
    container.override("providers", ProviderRegistry([LocalProvider(models_dir), Painter()]))  # type: ignore[list-item]
    with TestClient(create_api(container), base_url=HERE) as http:
        yield http
    container.close()


@pytest.mark.parametrize("endpoint", FROM_TEXT)
def test_text_alone_is_taken(http: TestClient, endpoint: str) -> None:
    answer = http.post(f"/v1/{endpoint}", json={"prompt": "a red apple"})
    assert answer.status_code == 200, answer.text
    poll = http.get(answer.json()["polling_url"]).json()
    assert (poll["status"], poll["result"]) == ("Pending", None)


@pytest.mark.parametrize("endpoint", FINETUNED_FROM_TEXT)
def test_text_alone_is_drawn_with_a_finetune(client: BflClient, finetune_id: str, endpoint: str) -> None:
    body = {"finetune_id": finetune_id, "prompt": "a red apple", "seed": 3}
    result = client.result(client.submit(endpoint, **body)["polling_url"])
    assert (result["prompt"], result["seed"]) == ("a red apple", 3)
    assert client.refuse(endpoint, 404, finetune_id="nobody", prompt="x")["error"] == "model-not-found"


@pytest.mark.parametrize(("endpoint", "fields", "capability"), ASKS_FOR_MORE)
def test_what_the_model_lacks_is_refused_and_models_that_have_it_are_named(
    beside_a_painter: TestClient, endpoint: str, fields: dict[str, object], capability: str
) -> None:
    answer = beside_a_painter.post(f"/v1/{endpoint}", json={"prompt": "x", **fields})
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"] == "capability-missing"
    assert f"({capability})" in body["message"]
    able = "easel" if capability in ("raw", "interval") else "nano, easel"
    assert body["hint"] == f"Models that can: {able}."
    assert body["detail"][0]["loc"][-1] in fields


@pytest.mark.parametrize(("endpoint", "fields", "capability"), FINETUNED_ASK_FOR_MORE)
def test_what_a_finetunes_base_lacks_is_refused(
    client: BflClient, finetune_id: str, endpoint: str, fields: dict[str, object], capability: str
) -> None:
    answer = client.refuse(endpoint, 422, finetune_id=finetune_id, prompt="x", **fields)
    assert f"({capability})" in answer["message"]
    assert answer["hint"].startswith("Models that can: nano")


def test_fields_at_their_defaults_and_nulls_ask_for_nothing(http: TestClient) -> None:
    for endpoint, body in (
        ("flux-pro", {"interval": 2.0, "image_prompt": None, "guidance": None, "steps": None}),
        ("flux-pro-1.1-ultra", {"raw": False, "image_prompt": "", "image_prompt_strength": 0.7}),
        ("flux-pro-1.0-canny", {"prompt": "x", "canny_low_threshold": None, "prompt_upsampling": None}),
        ("flux-2-flex", {"prompt": "x", "input_image_8": None, "steps": None, "nonsense": [1]}),
        ("flux-kontext-pro", {"prompt": "x", "aspect_ratio": None, "output_format": None}),
    ):
        answer = http.post(f"/v1/{endpoint}", json=body)
        assert answer.status_code == 200, (endpoint, answer.text)


@pytest.mark.parametrize(
    ("endpoint", "fields", "size", "kind"),
    [
        ("flux-pro-1.1-ultra", {}, (2720, 1536), "JPEG"),
        ("flux-pro-1.1-ultra", {"aspect_ratio": "9:21"}, (1344, 3136), "JPEG"),
        ("flux-kontext-pro", {}, (1024, 1024), "PNG"),
        ("flux-kontext-max", {"aspect_ratio": "21:9", "output_format": "jpeg"}, (1568, 672), "JPEG"),
    ],
)
def test_an_aspect_ratio_becomes_a_size(
    client: BflClient, endpoint: str, fields: dict[str, object], size: tuple[int, int], kind: str
) -> None:
    result = client.result(client.submit(endpoint, prompt="a pear", **fields)["polling_url"])
    picture, content_type = client.fetch(result["sample"])
    assert (picture.size, picture.format, content_type) == (size, kind, f"image/{kind.lower()}")


@pytest.mark.parametrize("ratio", ["22:9", "9:22", "16x9", "0:1", "16:9 ", "1.5:1", "", "a:b", "1:-1"])
def test_aspect_ratios_that_bfl_does_not_draw_are_refused(http: TestClient, ratio: str) -> None:
    answer = http.post("/v1/flux-pro-1.1-ultra", json={"aspect_ratio": ratio})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Aspect ratio must be ")


def test_upsampling_adds_words_and_draws_what_they_say(client: BflClient) -> None:
    prompt = "a red apple, soft light"
    drawn = {"prompt": prompt, "seed": 5, "steps": 2, "output_format": "png"}
    task = client.submit("flux-dev", **drawn, prompt_upsampling=True)
    last = client.follow(task["polling_url"])[-1]
    longer = last["details"]["upsampled_prompt"]
    assert last["result"]["prompt"] == prompt, "the prompt that was sent is told as it was"
    assert longer.startswith(f"{prompt}, ")
    assert longer.count("light") == 1, "what the prompt says already is not added"
    upsampled = client.fetch(last["result"]["sample"])[0].tobytes()
    assert upsampled == client.draw("flux-dev", **{**drawn, "prompt": longer}).tobytes()


def test_a_prompt_that_the_word_list_refuses_is_moderated_and_says_why(client: BflClient) -> None:
    asked = {"prompt": "A NAKED apple", "width": 256, "height": 256}
    strict = client.follow(client.submit("flux-pro-1.1", **asked, safety_tolerance=0)["polling_url"])[-1]
    assert strict["status"] == "Request Moderated"
    assert strict["result"] is None
    assert strict["details"]["message"] == (
        "The word list of this server refuses 'naked' at safety tolerance 0."
    )
    assert client.draw("flux-pro-1.1", **asked, safety_tolerance=2).size == (256, 256)
    whole_words = {**asked, "prompt": "snaked nakedness"}
    assert client.draw("flux-pro-1.1", **whole_words, safety_tolerance=0).size == (256, 256)
    always = client.submit("flux-pro-1.1", prompt="child  porn", safety_tolerance=6)
    assert client.follow(always["polling_url"])[-1]["status"] == "Request Moderated"


def test_the_words_can_be_switched_off_and_an_unknown_checker_is_told(
    tmp_path: Path, models_dir: Path
) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, model="tiny", safety_checker="none")
    assert ServiceContainer(settings).safety.objection("child porn", 0) is None
    unknown = ServiceContainer(Settings(data_dir=tmp_path, models_dir=models_dir, safety_checker="clever"))
    with TestClient(create_api(unknown), base_url=HERE, raise_server_exceptions=False) as http:
        answer = http.post("/v1/flux-dev", json={"prompt": "x"})
    unknown.close()
    assert answer.json()["error"] == "safety-checker-unknown"
    assert "fluxsmith.safety" in answer.json()["hint"]


def test_an_installed_checker_is_used_by_its_name(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "clever-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: clever\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fluxsmith.safety]\nclever = clever_checker:Clever\n")
    (tmp_path / "clever_checker.py").write_text(
        "class Clever:\n"
        "    def objection(self, prompt, tolerance):\n"
        "        return 'Too short.' if len(prompt) < tolerance else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, model="tiny", safety_checker="clever")
    safety = ServiceContainer(settings).safety
    assert safety.objection("abc", 4) == "Too short."
    assert safety.objection("abcd", 4) is None
