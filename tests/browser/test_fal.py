"""The Finetune page with fal's models on it: the cost is shown, and nothing starts until it is accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS
from tests.fake_fal import TRAINER, FakeFal
from tests.harness import Server

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def fal() -> Iterator[FakeFal]:
    server = FakeFal()
    yield server
    server.close()


def test_a_training_at_fal_starts_only_when_its_cost_is_accepted(
    browser: Browser, start_server: Callable[..., Server], fal: FakeFal
) -> None:
    environment = {"FLUXSMITH_FAL_KEY": "fal-id:fal-secret", "FLUXSMITH_FAL_BASE_URL": fal.url}
    server = start_server(environment=environment).wait_ready()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Use the sample set").click()
    expect(page.locator(".fs-thumbs li")).not_to_have_count(0)  # they bring a name, which is then changed
    page.get_by_label("Name", exact=True).fill("At fal")
    page.get_by_label("Steps", exact=True).fill("200")
    page.get_by_label("Base", exact=True).click()
    page.get_by_role("option", name="FLUX.2 [klein] Base 4B (fal)").click()
    expect(page.get_by_label("Pay 0.92 USD")).to_be_visible()

    page.get_by_role("button", name="Start finetune").click()
    expect(page.get_by_text("Nothing was started")).to_be_visible()
    assert fal.requests == []

    page.get_by_label("Pay 0.92 USD").check()
    page.get_by_role("button", name="Start finetune").click()
    job = page.get_by_role("region", name="Finetune At fal")
    expect(job.get_by_text("Finished")).to_be_visible()
    assert len(fal.seen(TRAINER)) == 1
    context.close()
