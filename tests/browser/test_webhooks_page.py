"""The Webhooks page: what became of each, attempt by attempt, and a button that sends it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.receiver import Receiver
from tests.browser.conftest import PATIENCE_MS, Shoot
from tests.conftest import StartServer
from tests.harness import Server

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server whose webhooks may come to this machine; it waits long before it tries again."""
    hooked = {"FLUXSMITH_ALLOW_PRIVATE_ADDRESSES": "true", "FLUXSMITH_WEBHOOK_RETRY_S": "3600"}
    return start_server(environment=hooked).wait_ready()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


def test_a_failed_delivery_is_seen_and_sent_again(
    server: Server, receiver: Receiver, open_page: Callable[..., Page], shoot: Shoot
) -> None:
    page = open_page("/webhooks")
    expect(page.get_by_text("No webhooks yet")).to_be_visible()
    receiver.answers = [503]
    asked = {"prompt": "a pear", "width": 256, "height": 256, "webhook_url": receiver.url}
    assert httpx.post(f"{server.url}/v1/flux-dev", json=asked, timeout=60).status_code == 200
    page.reload()
    hook = page.locator(".fs-hooks li")
    expect(hook.get_by_text("Trying again")).to_be_visible()
    expect(hook.get_by_text("next try in")).to_be_visible()
    hook.get_by_text("1 attempt, the last one answered 503").click()
    shoot(page, "webhooks-failed")
    hook.get_by_role("button", name="Send again").click()
    expect(hook.get_by_text("Delivered")).to_be_visible()
    expect(hook.get_by_text("2 attempts, the last one answered 200")).to_be_visible()
    expect(hook.get_by_role("row")).to_have_count(3)
    assert len(receiver.received) == 2
    shoot(page, "webhooks-delivered")
