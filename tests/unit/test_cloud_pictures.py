"""Pictures that a cloud's models follow: from the services, over HTTP and on the page; none paid twice."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER as ME
from fluxsmith.core.tables import GenerationRow
from fluxsmith.errors import UnsupportedError
from fluxsmith.services.inference import Generation, GenerationRequest
from fluxsmith.services.models import LinkRequest
from fluxsmith.ui.follow import FollowFold
from fluxsmith.web.app import create_api
from tests.clouds import KEY, KLEIN, carry_out
from tests.fake_bfl import FakeBfl, accepts, image, ready, sends
from tests.harness import picture

EDIT, FILL, EXPAND = "/v1/flux-2-klein-4b", "/v1/flux-pro-1.0-fill", "/v1/flux-pro-1.0-expand"
FILLER = "bfl/flux-pro-1.0-fill"


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    for path in (EDIT, f"{EDIT}-finetuned", FILL, EXPAND):
        fake.script(path, accepts())
    fake.script("/v1/get_result", ready())
    fake.script("/pictures/1", sends(image(), "image/png"))
    return fake


@pytest.fixture
def services(tmp_path: Path, models_dir: Path, fake: FakeBfl) -> Iterator[ServiceContainer]:
    made = ServiceContainer(
        Settings(
            data_dir=tmp_path / "data",
            models_dir=models_dir,
            model="tiny",
            bfl_api_key=KEY,
            bfl_base_url=fake.url,
        )
    )
    yield made
    made.close()


def shown(role: str, number: int = 1) -> dict[str, str]:
    """A picture to follow."""
    return {"role": role, "data": base64.b64encode(picture(number)).decode()}


def white(side: int = 64) -> dict[str, str]:
    """A mask of everything."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 255).save(buffer, "PNG")
    return {"role": "mask", "data": base64.b64encode(buffer.getvalue()).decode()}


def draw(services: ServiceContainer, *pictures: dict[str, str], **asked: object) -> Generation:
    """A cloud's picture, drawn to its end."""
    values = {"model": KLEIN, "prompt": "a cup", "width": 64, "height": 64, "seed": 5, **asked}
    request = GenerationRequest.model_validate({**values, "pictures": pictures})
    started = services.inference.generate(ME, request)
    carry_out(services, started.id)
    done = services.inference.get(ME, started.id)
    assert done.job.state == "done", done.job.error
    return done


def reused(generation: Generation) -> str | None:
    return generation.outputs[0].reused_from


def test_an_edit_is_asked_for_over_http_and_goes_out_as_it_came(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    asked = {
        "model": KLEIN,
        "prompt": "in blue",
        "pictures": [shown("edit", 1), shown("edit", 2)],
        "size_from_picture": True,
    }
    with TestClient(create_api(services), base_url="http://127.0.0.1:7860") as http:
        models = {model["id"]: model for model in http.get("/api/models").json()}
        assert models[KLEIN]["capabilities"] == ["edit", "text"]
        started = http.post("/api/generations", json=asked).json()
        carry_out(services, started["id"])
        assert http.get(f"/api/generations/{started['id']}/pictures/0").status_code == 200
    body = fake.seen(EDIT)[0].json
    assert (body["width"], body["height"]) == (64, 64)
    for number, field in ((1, "input_image"), (2, "input_image_2")):
        there = Image.open(io.BytesIO(base64.b64decode(body[field])))
        assert there.tobytes() == Image.open(io.BytesIO(picture(number))).tobytes()


def test_v1_edits_with_the_cloud_model_that_is_set(services: ServiceContainer, fake: FakeBfl) -> None:
    made = ServiceContainer(services.settings.model_copy(update={"model": KLEIN}))
    with TestClient(create_api(made), base_url="http://127.0.0.1") as http:
        body = {"prompt": "in blue", "input_image": shown("edit")["data"]}
        task = http.post("/v1/flux-kontext-pro", json=body).json()
        carry_out(made, task["id"])
        refused = http.post("/v1/flux-dev", json={"prompt": "x", "image_prompt": shown("edit")["data"]})
    assert "input_image" in fake.seen(EDIT)[0].json
    assert refused.status_code == 422
    assert "bfl/flux-pro-1.1" in refused.text
    made.close()


def test_a_finetune_that_bfl_keeps_is_drawn_with_after_a_picture(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    linked = services.models.link(ME, LinkRequest(base_model=KLEIN, remote_id="mug", name="My mug"))
    assert "edit" in services.models.get(ME, linked.id).capabilities
    draw(services, shown("edit"), model=linked.id)
    body = fake.seen(f"{EDIT}-finetuned")[0].json
    assert body["finetune_id"] == "mug"
    assert "input_image" in body


def test_a_fill_is_as_large_as_its_picture_and_an_expansion_larger(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    filled = draw(services, shown("fill"), white(), model=FILLER, width=512, height=512)
    assert (filled.width, filled.height) == (64, 64)
    wider = draw(services, shown("fill"), model=FILLER, expand={"right": 32})
    assert (wider.width, wider.height) == (96, 64)
    assert "mask" in fake.seen(FILL)[0].json
    assert fake.seen(EXPAND)[0].json["right"] == 32


def test_the_same_edit_is_not_paid_for_twice(services: ServiceContainer, fake: FakeBfl) -> None:
    first = draw(services, shown("edit", 1), shown("edit", 2))
    again = draw(services, shown("edit", 1), shown("edit", 2))
    assert reused(again) == first.id
    assert len(fake.seen(EDIT)) == 1
    assert reused(draw(services, shown("edit", 1), shown("edit", 2), anew=True)) is None


@pytest.mark.parametrize(
    "others",
    [[], [shown("edit", 1)], [shown("edit", 2), shown("edit", 1)], [shown("edit", 1), shown("edit", 3)]],
)
def test_another_picture_another_order_or_none_is_another_request(
    services: ServiceContainer, fake: FakeBfl, others: list[dict[str, str]]
) -> None:
    draw(services, shown("edit", 1), shown("edit", 2))
    assert reused(draw(services, *others)) is None
    assert len(fake.seen(EDIT)) == 2


def test_another_mask_or_other_margins_are_another_request(services: ServiceContainer, fake: FakeBfl) -> None:
    first = draw(services, shown("fill"), white(), model=FILLER)
    other_mask = {**shown("fill", 4), "role": "mask"}
    assert reused(draw(services, shown("fill"), other_mask, model=FILLER)) is None
    assert reused(draw(services, shown("fill"), white(), model=FILLER)) == first.id
    wider = draw(services, shown("fill"), model=FILLER, expand={"right": 32})
    assert reused(draw(services, shown("fill"), model=FILLER, expand={"left": 32})) is None
    assert reused(draw(services, shown("fill"), model=FILLER, expand={"right": 32})) == wider.id


def test_pictures_that_an_earlier_version_kept_are_not_taken_for_the_same(
    services: ServiceContainer,
) -> None:
    first = draw(services, shown("edit"))
    with services.db.session() as session:
        row = session.get_one(GenerationRow, first.id)
        row.pictures = [{"role": "edit", "storage_key": row.pictures[0]["storage_key"]}]
    assert reused(draw(services, shown("edit"))) is None


def test_a_model_for_pictures_refuses_words_alone_and_names_its_use(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        services.inference.generate(ME, GenerationRequest(model=FILLER, prompt="a cup"))
    assert caught.value.code == "picture-needed"
    assert "draws only after a picture (fill)" in caught.value.message
    assert fake.requests == []


def test_a_use_that_the_model_lacks_is_refused_with_models_that_have_it(services: ServiceContainer) -> None:
    request = GenerationRequest.model_validate({"model": KLEIN, "pictures": [shown("canny")]})
    with pytest.raises(UnsupportedError) as caught:
        services.inference.generate(ME, request)
    assert "bfl/flux-pro-1.0-canny" in caught.value.hint


def test_the_page_offers_the_uses_of_a_cloud_model_and_opens_where_a_picture_is_needed(
    services: ServiceContainer,
) -> None:
    fold = FollowFold()
    with gr.Blocks():
        fold.build()
    offered = {}
    for model_id in (KLEIN, FILLER):
        updates = fold.for_model(services.models.get(ME, model_id).capabilities)
        offered[model_id] = (
            [role for _, role in updates[fold.use].choices],
            updates[fold.fold].visible,
            updates[fold.fold].open,
        )
    assert offered[KLEIN][:2] == (["edit"], True)
    assert offered[FILLER] == (["fill"], True, True)
