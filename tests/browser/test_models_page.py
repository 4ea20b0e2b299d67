"""The Models page: a LoRA comes in, is found, drawn with, downloaded and deleted; a bad one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Shoot
from tests.loras import file_of, tiny_lora

OpenPage = Callable[..., Page]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A LoRA of the tiny model, as a file."""
    path = tmp_path / "Garden Gnome.safetensors"
    path.write_bytes(file_of(tiny_lora(), trigger_word="GNM"))
    return path


def choose(page: Page, file: Path) -> None:
    """Choose a file as a person does who clicks the drop area."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Click to upload or drop files").click()
    chooser.value.set_files(file)


def test_a_lora_is_imported_found_downloaded_and_deleted(
    open_page: OpenPage, shoot: Shoot, lora: Path
) -> None:
    page = open_page("/models")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(page.locator("#models .fs-skeleton")).to_have_count(0)
    choose(page, lora)
    expect(page.get_by_role("textbox", name="Name Its finetune_id")).to_have_value("garden-gnome")
    shoot(page, "models-import")
    page.get_by_role("button", name="Import LoRA").click()
    card = page.get_by_role("region", name="Model garden-gnome")
    expect(card.get_by_text("Say GNM in a prompt")).to_be_visible()
    shoot(page, "models-opened")

    page.reload()
    expect(card.get_by_text("Imported")).to_be_visible()
    page.get_by_label("Filter").fill("gnm tiny")
    expect(page.locator(".fs-models li")).to_have_count(1)
    page.get_by_label("Filter").fill("nothing like it")
    expect(page.get_by_text("Nothing of that name")).to_be_visible()
    page.get_by_label("Filter").fill("")
    page.get_by_label("Base models").check()
    expect(page.locator(".fs-models")).to_contain_text("Tiny")
    shoot(page, "models-bases")
    with page.expect_download() as download:
        card.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == lora.read_bytes()

    card.get_by_role("button", name="Delete…").click()
    expect(card).to_be_visible()
    card.get_by_role("button", name="Delete this LoRA?").click()
    expect(card).to_have_count(0)
    page.get_by_label("LoRAs", exact=True).check()
    expect(page.get_by_text("garden-gnome")).to_have_count(0)


def test_a_bad_file_is_refused_in_words_and_the_page_goes_on(
    open_page: OpenPage, shoot: Shoot, lora: Path
) -> None:
    whole = lora.read_bytes()
    lora.write_bytes(whole[:-1])
    page = open_page("/models")
    expect(page.locator("#models .fs-skeleton")).to_have_count(0)
    page.get_by_role("button", name="Import LoRA").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no file yet.")
    choose(page, lora)
    expect(page.get_by_role("textbox", name="Name Its finetune_id")).to_have_value("garden-gnome")
    page.get_by_role("button", name="Import LoRA").click()
    expect(page.get_by_role("alert")).to_contain_text("The file is cut off")
    shoot(page, "models-refused")
    page.get_by_role("button", name="Link a LoRA that BFL keeps").click()
    page.get_by_role("button", name="Link LoRA").click()
    expect(page.get_by_text("No provider here keeps LoRAs.")).to_be_visible()
