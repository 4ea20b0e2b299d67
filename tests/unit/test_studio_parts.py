"""The studio's parts without a browser: widgets from schemas, watching, the curve, words in pages."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from fluxsmith.core.jobs import Event, Job, JobError
from fluxsmith.providers.base import FinetuneParameters
from fluxsmith.services.finetuning import Finetune, FinetuneRequest
from fluxsmith.services.inference import GenerationRequest
from fluxsmith.ui import fields, parts
from fluxsmith.ui.curve import LossPoint, loss_curve, smoothed
from fluxsmith.ui.finetune_view import finetune_card
from fluxsmith.ui.generate import with_trigger
from fluxsmith.ui.watch import Watched


def progress(seq: int, step: int, loss: float | None) -> Event:
    return Event(seq=seq, at=datetime.now(UTC), kind="progress", data={"step": step, "loss": loss})


def test_building_the_studio_makes_no_service_and_imports_no_torch() -> None:
    script = (
        "import sys\n"
        "from fastapi import FastAPI\n"
        "from fluxsmith.container import ServiceContainer\n"
        "from fluxsmith.ui.app import mount_studio\n"
        "container = ServiceContainer()\n"
        "mount_studio(FastAPI(), container)\n"
        "print(container.made, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "() False", done.stderr


def test_every_parameter_of_a_finetune_has_a_title_and_help_for_its_widget() -> None:
    for schema in (FinetuneParameters, FinetuneRequest, GenerationRequest):
        for name, field in schema.model_fields.items():
            if name != "parameters":
                assert field.title and field.description, f"{schema.__name__}.{name}"


def test_widgets_say_the_limits_that_the_schema_has() -> None:
    assert fields.help_of(FinetuneParameters, "steps").endswith("1 to 20,000.")
    assert fields.help_of(FinetuneParameters, "learning_rate").endswith("0.000001 to 0.005.")
    assert fields.help_of(FinetuneParameters, "lora_alpha").endswith("Above 0 to 512.")
    slider = fields.slider(GenerationRequest, "strength", step=0.05)
    assert (slider.minimum, slider.maximum, slider.value) == (0, 2, 1)


def test_what_may_be_left_empty_is_an_empty_line_and_means_none() -> None:
    assert fields.number(GenerationRequest, "seed").value == ""
    assert fields.given("  ") is None
    assert fields.given(" 7 ") == "7"
    assert fields.given(0) == 0


def test_choices_come_in_the_order_of_their_titles_and_none_is_lost() -> None:
    titles = {"style": "A style", "product": "A thing"}
    choices = fields.choice(FinetuneRequest, "mode", titles).choices
    assert choices[:2] == [("A style", "style"), ("A thing", "product")]
    assert {key for _, key in choices} == set(fields.choices_of(FinetuneRequest, "mode"))


def test_a_step_that_was_trained_again_is_counted_once() -> None:
    first = [progress(1, 1, 0.9), progress(2, 2, 0.8), progress(3, 3, 0.7)]
    again = [progress(4, 2, 0.85), progress(5, 3, 0.75)]
    watched = Watched("id").after(first).after(again)
    assert [(point.step, point.loss) for point in watched.losses] == [(1, 0.9), (2, 0.85), (3, 0.75)]
    assert watched.seq == 5


def test_a_stage_without_a_loss_adds_no_point_and_nothing_new_changes_nothing() -> None:
    watched = Watched("id").after([progress(1, 0, None)])
    assert watched.losses == ()
    assert watched.after([]) is watched


def test_the_smoothed_line_starts_at_the_first_loss_and_stays_within_the_dots() -> None:
    points = [LossPoint(step, 1.0 if step % 2 else 0.0) for step in range(1, 200)]
    line = smoothed(points)
    assert line[0].loss == 1.0
    assert all(0 <= point.loss <= 1 for point in line)
    assert 0.4 < line[-1].loss < 0.6


def test_a_long_curve_stays_small_and_a_flat_one_can_be_drawn() -> None:
    long = [LossPoint(step, 0.5 + step % 7 / 100) for step in range(1, 20_001)]
    assert len(loss_curve(long, 20_000)) < 20_000
    assert "NaN" not in loss_curve([LossPoint(1, 0.5), LossPoint(2, 0.5)], 2)
    assert "appears here" in loss_curve([], 300)


def test_a_prompt_gets_the_trigger_word_once_and_loses_the_one_before() -> None:
    assert with_trigger("", "", "TOK") == "TOK"
    assert with_trigger("on a beach", "", "TOK") == "TOK on a beach"
    assert with_trigger("a tok on a beach", "", "TOK") == "a tok on a beach"
    assert with_trigger("TOK, on a beach", "TOK", "SKS") == "SKS on a beach"
    assert with_trigger("TOK on a beach", "TOK", "") == "on a beach"
    assert with_trigger("Tokyo at night", "TOK", "") == "Tokyo at night"


def test_what_people_write_is_shown_and_never_run() -> None:
    assert "<script>" not in parts.error_box("<script>alert(1)</script>", "<script>")
    button = parts.act("Go", "go", model='"><script>')
    assert "<script>" not in button


def test_times_are_said_as_people_say_them() -> None:
    assert parts.time_left(40.4) == "40 s left"
    assert parts.time_left(190) == "3 min left"
    assert parts.time_left(7_800) == "2 h 10 min left"
    now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    assert "just now" in parts.ago(now - timedelta(seconds=20), now)
    assert "5 min ago" in parts.ago(now - timedelta(minutes=5), now)
    assert "1 May 2026" in parts.ago(now - timedelta(days=3), now)


def job(**facts: object) -> Job:
    given = {
        "id": "j", "owner_id": "o", "kind": "finetune", "queue": "train", "state": "running", "stage": "",
        "step": 0, "total": 0, "eta_s": None, "error": None, "created_at": datetime.now(UTC),
        "started_at": None, "ended_at": None,
    }  # fmt: skip
    return Job.model_validate(given | facts)


def finetune(job: Job) -> Finetune:
    return Finetune(
        id="j", name="My <mug>", provider="local", base_model="nano", trigger_word="TOK", mode="general",
        captioning=True, parameters=FinetuneParameters(), dataset_id="d", pictures=6, facts={},
        created_at=job.created_at, job=job,
    )  # fmt: skip


def test_a_failed_finetune_says_why_and_what_to_do_instead_of_a_bar() -> None:
    error = JobError(
        code="out-of-memory", message="It took more memory than there is.", hint="Lower the rank."
    )
    card = finetune_card(finetune(job(state="failed", error=error)), Watched("j"), "")
    assert "It took more memory than there is." in card and "Lower the rank." in card
    assert "progressbar" not in card and "Failed" in card and "My &lt;mug&gt;" in card


def test_a_queued_finetune_says_why_no_worker_takes_it() -> None:
    card = finetune_card(finetune(job(state="queued")), Watched("j"), "The worker is starting")
    assert "Waiting for its turn" in card and "The worker is starting" in card


def test_a_finished_finetune_leads_to_drawing_with_it() -> None:
    start = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    ended = job(state="done", started_at=start, ended_at=start + timedelta(seconds=70))
    card = finetune_card(finetune(ended), Watched("j"), "")
    assert 'href="/generate?model=j"' in card and "It took 70 s." in card


def test_a_strip_without_countable_steps_shows_no_false_progress() -> None:
    loading = job(stage="Loading the model", step=0, total=1)
    strip = parts.strip(loading, lead="", title=parts.stage_of(loading), says="", unit="steps")
    assert "Loading the model" in strip and "Cancel" in strip
    assert "of 1" not in strip and "aria-valuenow" not in strip
