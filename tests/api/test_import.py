"""A LoRA from elsewhere becomes a `finetune_id`, or is refused in words; here and in the shell."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.errors import ValidationError
from fluxsmith.services.models import ImportRequest
from fluxsmith.web.app import create_api
from tests.api.client import BflClient, Json
from tests.api.conftest import HERE
from tests.loras import BAD_LORAS, BadLora, as_bfl, as_kohya, file_of, tensors_of, tiny_lora

KLEIN = "flux-2-klein-4b-finetuned"
ASKED = {"prompt": "a red apple", "seed": 3, "width": 64, "height": 64, "output_format": "png"}


def send(http: httpx.Client | TestClient, file: bytes, name: str, **fields: str) -> httpx.Response:
    """Import a file as the model `name`."""
    return http.post(  # type: ignore[return-value]
        "/api/models",
        data={"name": name, "base_model": "tiny", **fields},
        files={"file": ("lora.safetensors", file)},
    )


def imported(client: BflClient, file: bytes, name: str, **fields: str) -> Json:
    """Import a file that must be taken."""
    answer = send(client.http, file, name, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures' values, 0 to 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_an_exported_lora_is_imported_again_and_draws_the_same_picture(
    client: BflClient, finetune_id: str
) -> None:
    file = client.http.get(f"/api/models/{finetune_id}/file").content
    made = imported(client, file, "come-back")
    assert (made["origin"], made["trigger_word"], made["base_model"]) == ("import", "TOK", "tiny")
    trained = client.draw(KLEIN, finetune_id=finetune_id, finetune_strength=2, **ASKED)
    assert trained.tobytes() != client.draw("flux-2-klein-4b", **ASKED).tobytes()
    for name in ("come-back", "local/come-back", made["id"]):
        drawn = client.draw(KLEIN, finetune_id=name, finetune_strength=2, **ASKED)
        assert drawn.tobytes() == trained.tobytes(), name
    assert client.http.get("/api/models/come-back/file").content == file

    assert "come-back" in client.get("my_finetunes").json()["finetunes"]
    details = client.get("finetune_details", finetune_id="come-back").json()["finetune_details"]
    told = {"finetune_comment": "come-back", "status": "Ready", "base_model": "tiny", "trigger_word": "TOK"}
    assert told.items() <= details.items()
    assert client.get("finetune_details", finetune_id="shared").json()["finetune_details"]["state"] == "done"

    deleted = client.submit("delete_finetune", finetune_id="come-back")
    assert deleted["deleted_finetune_id"] == "come-back"
    assert "come-back" not in client.get("my_finetunes").json()["finetunes"]
    client.refuse(KLEIN, 404, finetune_id="come-back", **ASKED)
    assert client.draw(KLEIN, finetune_id=finetune_id, **ASKED).size == (64, 64), "the trained one stays"


@pytest.mark.parametrize("layout", ["bfl", "kohya"])
def test_the_same_lora_in_others_layouts_draws_the_same(client: BflClient, layout: str) -> None:
    plain = tiny_lora(scale=1.5)
    other = as_bfl(plain) if layout == "bfl" else as_kohya(plain, alpha=4.0)
    imported(client, file_of(plain), f"plain-{layout}")
    imported(client, file_of(other), f"other-{layout}", trigger_word="tok")
    base = client.draw("flux-2-klein-4b", **ASKED)
    ours = client.draw(KLEIN, finetune_id=f"plain-{layout}", **ASKED)
    theirs = client.draw(KLEIN, finetune_id=f"other-{layout}", **ASKED)
    assert difference(ours, base) > 10 * difference(ours, theirs)
    assert difference(ours, theirs) < 1
    for name in ("plain", "other"):
        assert client.http.delete(f"/api/models/{name}-{layout}").status_code == 200


@pytest.mark.parametrize("bad", BAD_LORAS, ids=str)
def test_a_bad_file_is_refused_in_words_and_nothing_is_kept(
    container: ServiceContainer, http: TestClient, bad: BadLora
) -> None:
    answer = send(http, bad.make(), "bad")
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert (told["error"], told["detail"][0]["loc"]) == (bad.code, ["body", "file"]), told
    assert bad.words in told["message"]
    assert "Traceback" not in answer.text
    assert [model.id for model in container.models.list(LOCAL_OWNER) if model.kind == "lora"] == []
    left = [path for path in (container.settings.data_dir / "files").rglob("*") if path.is_file()]
    assert left == []


def test_every_layout_and_precision_is_taken(http: TestClient) -> None:
    plain = tiny_lora()
    for number, tensors in enumerate((plain, as_bfl(plain), as_kohya(plain, 1.0))):
        for kind in ("float16", "float64"):
            file = file_of({name: one.astype(kind) for name, one in tensors.items()})
            assert send(http, file, f"{kind}-{number}").status_code == 200
    peft = {name.replace("transformer.", "base_model.model.", 1): one for name, one in plain.items()}
    assert send(http, file_of(peft), "peft").status_code == 200
    assert tensors_of(http.get("/api/models/peft/file").content).keys() == peft.keys()


def test_names_are_as_at_bfl_and_each_is_given_once(http: TestClient) -> None:
    file = file_of(tiny_lora(), trigger_word="from the file")
    for name in ("My Mug", "mug!", "-mug", "ünï", "a/b", "x" * 101, ""):
        refused = send(http, file, name)
        assert refused.status_code == 422, name
        assert "Name" in refused.json()["message"]
    assert send(http, file, "mug").json()["trigger_word"] == "from the file"
    for name in ("mug", "tiny"):
        taken = send(http, file, name)
        assert (taken.status_code, taken.json()["error"]) == (409, "name-taken")
    assert http.delete("/api/models/mug").status_code == 200
    assert send(http, file, "mug", trigger_word="mine").json()["trigger_word"] == "mine"
    assert send(http, file, "two", base_model="unheard").json()["error"] == "model-not-found"
    assert http.get("/api/models/somebody/mug").status_code == 404


def test_the_file_may_be_as_large_as_the_setting_says(tmp_path: Path, models_dir: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", models_dir=models_dir, model="tiny", max_upload_mb=1, max_lora_mb=2
    )
    container = ServiceContainer(settings)
    padding = {f"padding_{number}": "x" * 1000 for number in range(1200)}
    with TestClient(create_api(container), base_url=HERE) as http:
        assert send(http, file_of(tiny_lora(), **padding), "large").status_code == 200, "above max_upload_mb"
        refused = send(http, bytes(2_000_001), "larger")
        assert refused.status_code == 413
        assert refused.json()["message"] == "The request is larger than 2 MB."
        assert "FLUXSMITH_MAX_LORA_MB" in refused.json()["hint"]
    container.close()


def test_nobody_else_may_use_it_by_name(container: ServiceContainer, tmp_path: Path) -> None:
    from fluxsmith.core.actor import Actor
    from fluxsmith.errors import NotFoundError

    path = tmp_path / "lora.safetensors"
    path.write_bytes(file_of(tiny_lora()))
    made = container.models.add(LOCAL_OWNER, ImportRequest(name="mine", base_model="tiny"), path)
    stranger = Actor(id="stranger", name="A stranger")
    for name in ("mine", "local/mine", made.id):
        with pytest.raises(NotFoundError):
            container.models.get(stranger, name)
    container.models.add(stranger, ImportRequest(name="mine", base_model="tiny"), path)
    assert container.models.get(LOCAL_OWNER, "local/mine").id == made.id


def test_bfls_cloud_takes_no_file_and_the_words_say_where(tmp_path: Path, models_dir: Path) -> None:
    container = ServiceContainer(
        Settings(data_dir=tmp_path / "data", models_dir=models_dir, model="tiny", bfl_api_key="bfl_0123")
    )
    path = tmp_path / "lora.safetensors"
    path.write_bytes(file_of(tiny_lora()))
    with pytest.raises(
        ValidationError, match=r"api\.bfl\.ai takes LoRA files only on its own page"
    ) as caught:
        container.models.add(LOCAL_OWNER, ImportRequest(name="mine", base_model="bfl/flux-2-klein-4b"), path)
    assert "fluxsmith models publish" in caught.value.hint
    container.close()
