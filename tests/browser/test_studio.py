"""The main job by hand: pictures in, watch, draw, reload in the middle, cancel, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Shoot
from tests.harness import Server, picture

OpenPage = Callable[..., Page]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Six pictures and a caption for the first."""
    paths = [tmp_path / f"mug {number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number, side=128))
    caption = tmp_path / "mug 0.txt"
    caption.write_text("TOK on a table", encoding="utf-8")
    return [*paths, caption]


def upload(page: Page, files: list[Path]) -> None:
    """Choose files as a person does who clicks the drop area."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Click to upload or drop files").click()
    chooser.value.set_files(files)


def start_finetune(page: Page, name: str, steps: int) -> None:
    """Fill the form in and start."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Steps", exact=True).fill(str(steps))
    page.get_by_role("button", name="Start finetune").click()


def test_pictures_become_a_lora_and_the_lora_draws(
    open_page: OpenPage, shoot: Shoot, files: list[Path]
) -> None:
    page = open_page("/")
    expect(page.get_by_text("No finetunes yet").or_(page.locator(".fs-rows"))).to_be_visible()
    shoot(page, "finetune-empty")
    upload(page, files)
    expect(page.locator(".fs-thumbs li")).to_have_count(6)
    expect(page.get_by_label("Caption of mug 0.png")).to_have_value("TOK on a table")
    page.get_by_label("Caption of mug 1.png").fill("TOK from above")
    page.get_by_label("Caption of mug 1.png").blur()
    shoot(page, "finetune-pictures")

    start_finetune(page, "My mug", steps=40)
    job = page.get_by_role("region", name="Finetune My mug")
    expect(job.get_by_role("progressbar")).to_be_visible()
    expect(job.locator(".fs-line")).to_be_visible()
    shoot(page, "finetune-running")
    expect(job.get_by_text("Finished")).to_be_visible()
    shoot(page, "finetune-finished")

    job.get_by_role("link", name="Draw with it").click()
    expect(page.get_by_text("to call up My mug")).to_be_visible()
    expect(page.get_by_label("Prompt")).to_have_value("TOK")
    page.get_by_label("Prompt").fill("TOK on a beach")
    page.get_by_label("number input for Pictures").fill("2")
    page.get_by_label("number input for Pictures").blur()
    page.get_by_role("button", name="Draw 2 pictures").click()
    mine = page.locator(".fs-generation").filter(has_text="TOK on a beach")
    expect(mine.locator(".fs-tile img")).to_have_count(2)
    shoot(page, "generate-drawn")

    mine.locator(".fs-tile > button").first.click()
    viewer = page.get_by_role("dialog", name="Picture")
    expect(viewer.get_by_text("TOK on a beach")).to_be_visible()
    expect(viewer.get_by_text(re.compile(r"Seed \d+ · 512 × 512 px"))).to_be_visible()
    with page.expect_download() as download:
        viewer.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    viewer.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_label("Seed")).to_have_value(re.compile(r"\d+"))


def test_what_would_harm_the_lora_is_said_beside_the_pictures(
    open_page: OpenPage, shoot: Shoot, tmp_path: Path
) -> None:
    paths = []
    for number in range(3):
        path = tmp_path / f"night {number}.png"
        shades = [(number * 11 + row) % 40 for row in range(256 * 256)]
        picture = Image.new("L", (256, 256))
        picture.putdata(shades)
        picture.convert("RGB").save(path)
        paths.append(path)
    page = open_page("/")
    upload(page, paths)
    advice = page.get_by_role("region", name="Advice on the pictures")
    expect(advice.get_by_text("3 pictures in the set; a LoRA learns well from 5 or more.")).to_be_visible()
    expect(advice.get_by_text("3 pictures are very dark.")).to_be_visible()
    expect(advice.locator("img")).not_to_have_count(0)
    shoot(page, "finetune-advice")
    page.locator(".fs-thumbs li").first.hover()
    page.get_by_role("button", name="Leave out night 0.png").click()
    expect(page.locator(".fs-thumbs li")).to_have_count(2)
    expect(advice.get_by_text("2 pictures are very dark.")).to_be_visible()
    page.get_by_role("button", name="Bring it back").click()
    expect(page.locator(".fs-thumbs li")).to_have_count(3)
    page.get_by_role("button", name="Choose others").click()
    expect(advice).to_have_count(0)


def test_a_picture_is_followed_where_the_model_can(
    open_page: OpenPage, shoot: Shoot, files: list[Path]
) -> None:
    page = open_page("/generate")
    fold = page.get_by_role("button", name="Follow a picture")
    expect(page.get_by_role("button", name="Advanced")).to_be_visible()
    expect(fold).not_to_be_visible()
    page.get_by_label("Model or LoRA").click()
    page.get_by_role("option", name="nano").click()
    fold.click()
    page.get_by_label("Change it").evaluate("choice => choice.click()")  # the Draw button lies over it
    expect(page.get_by_label("Image prompt strength")).to_have_count(0)
    page.locator("#follow-picture input[type=file]").set_input_files(files[0])
    expect(page.locator("#follow-picture img")).to_be_visible()
    page.get_by_label("Prompt").fill("the same in flat style, followed")
    page.get_by_label("number input for Pictures").fill("1")
    page.get_by_label("number input for Pictures").blur()
    shoot(page, "generate-follow")
    page.get_by_role("button", name="Draw 1 picture").click()
    mine = page.locator(".fs-generation").filter(has_text="the same in flat style, followed")
    expect(mine.locator(".fs-tile img")).to_have_count(1)


def test_a_reloaded_page_and_another_device_find_the_running_finetune(open_page: OpenPage) -> None:
    page = open_page("/")
    page.get_by_role("button", name="Use the sample set").click()
    expect(page.locator(".fs-thumbs li").first).to_be_visible()
    start_finetune(page, "Found again", steps=2000)
    job = page.get_by_role("region", name="Finetune Found again")
    expect(job.locator(".fs-line")).to_be_visible()

    page.reload()
    expect(job.get_by_role("progressbar")).to_be_visible()
    expect(job.locator(".fs-line")).to_be_visible()
    elsewhere = open_page("/")
    same = elsewhere.get_by_role("region", name="Finetune Found again")
    expect(same.locator(".fs-line")).to_be_visible()

    same.get_by_role("button", name="Cancel").click()
    expect(same.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(job.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(job.get_by_role("progressbar")).to_have_count(0)


def test_a_broken_zip_is_refused_in_words_and_the_page_goes_on(
    open_page: OpenPage, shoot: Shoot, files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "holiday.zip"
    broken.write_bytes(b"PK\x03\x04 this is no zip")
    page = open_page("/")
    expect(page.get_by_role("button", name="Use the sample set")).to_be_visible()
    upload(page, [broken])
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The zip is cut off: its end is missing.")
    assert "Traceback" not in page.content()
    shoot(page, "finetune-refused")
    upload(page, files)
    expect(page.locator(".fs-thumbs li")).to_have_count(6)
    expect(alert).to_have_count(0)


def test_files_that_are_too_large_together_are_refused_before_they_travel(
    open_page: OpenPage, tmp_path: Path, server: Server
) -> None:
    limit_mb = server.services.settings.max_upload_mb
    huge = tmp_path / "huge.zip"
    with huge.open("wb") as file:
        file.truncate(limit_mb * 1_000_000 + 1)
    page = open_page("/")
    expect(page.get_by_role("button", name="Use the sample set")).to_be_visible()
    upload(page, [huge])
    expect(page.get_by_role("alert")).to_contain_text(f"The request is larger than {limit_mb} MB.")
    page.get_by_role("button", name="Use the sample set").click()
    expect(page.locator(".fs-thumbs li").first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_start_without_pictures_or_with_impossible_numbers_says_what_to_change(open_page: OpenPage) -> None:
    page = open_page("/")
    expect(page.get_by_role("button", name="Use the sample set")).to_be_visible()
    page.get_by_role("button", name="Start finetune").click()
    expect(page.get_by_role("alert")).to_contain_text("There are no pictures yet.")
    page.get_by_role("button", name="Use the sample set").click()
    expect(page.locator(".fs-thumbs li").first).to_be_visible()
    start_finetune(page, "Too long", steps=20_001)
    expect(page.get_by_role("alert")).to_contain_text("Steps must be at most 20000")


def test_pages_are_dark_where_the_system_is(open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page("/", dark=True)
    expect(page.get_by_role("button", name="Use the sample set")).to_be_visible()
    shoot(page, "finetune-dark")
    page.get_by_role("link", name="Generate").click()
    expect(page.get_by_role("heading", name="Generate")).to_be_visible()
    expect(page.locator("#gallery .fs-skeleton")).to_have_count(0)
    shoot(page, "generate-dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 19, 18)"


def test_an_opened_fold_is_still_open_after_a_reload(open_page: OpenPage) -> None:
    page = open_page("/generate")
    expect(page.get_by_label("Guidance")).not_to_be_visible()
    page.get_by_role("button", name="Advanced").click()
    expect(page.get_by_label("Guidance")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Guidance")).to_be_visible()


def test_the_whole_form_can_be_reached_with_the_keyboard(open_page: OpenPage) -> None:
    page = open_page("/generate")
    prompt = page.get_by_label("Prompt")
    expect(prompt).to_be_visible()
    prompt.focus()
    reached: set[str] = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText || ''")
        )
        if any(words.startswith("Draw") for words in reached):
            break
    assert any(words.startswith("Draw") for words in reached), reached
