"""Answers that seldom change: asked for once in their lifetime by all, and anew when we changed them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

from fluxsmith.core.api_cache import DatabaseCache
from fluxsmith.core.api_service import APIService
from fluxsmith.core.database import Database
from tests.clocks import SkippingClock
from tests.fake_bfl import FakeBfl, says

KEY = "bfl_0123456789abcdef"


class Thing(BaseModel):
    """What the tests ask for."""

    id: str


def test_a_stable_answer_is_asked_for_once_in_its_lifetime_by_all_processes(
    fake: FakeBfl, db: Database, clock: SkippingClock
) -> None:
    fake.script("/thing", says(200, {"id": "one"}, {"etag": '"v1"'}))
    services = [APIService(fake.url, KEY, clock=clock, cache=DatabaseCache(db)) for _ in range(3)]

    assert [service.get_stable(Thing, "/thing", 60).id for service in services * 4] == ["one"] * 12
    assert len(fake.requests) == 1  # eleven calls saved

    clock.sleep(61)
    fake.script("/thing", lambda exchange: exchange.answer(304, b""))
    assert services[0].get_stable(Thing, "/thing", 60).id == "one"
    assert fake.requests[-1].headers["if-none-match"] == '"v1"'
    assert services[1].get_stable(Thing, "/thing", 60).id == "one"
    assert len(fake.requests) == 2
    for service in services:
        service.close()


def test_a_stable_answer_is_asked_for_again_after_we_changed_it(
    fake: FakeBfl, db: Database, clock: SkippingClock
) -> None:
    fake.script("/thing", says(200, {"id": "one"}), says(200, {"id": "two"}))
    api = APIService(fake.url, KEY, clock=clock, cache=DatabaseCache(db))

    api.get_stable(Thing, "/thing", 60)
    api.forget("/thing")

    assert api.get_stable(Thing, "/thing", 60).id == "two"
    api.close()


def test_answers_of_two_accounts_are_kept_apart_and_no_key_is_written(
    fake: FakeBfl, db: Database, clock: SkippingClock
) -> None:
    fake.script("/thing", says(200, {"id": "mine"}), says(200, {"id": "yours"}))
    mine = APIService(fake.url, KEY, clock=clock, cache=DatabaseCache(db))
    yours = APIService(fake.url, "bfl_another", clock=clock, cache=DatabaseCache(db))

    assert mine.get_stable(Thing, "/thing", 60).id == "mine"
    assert yours.get_stable(Thing, "/thing", 60).id == "yours"
    assert db.path is not None
    written = b"".join(file.read_bytes() for file in db.path.parent.iterdir() if file.is_file())
    assert KEY.encode() not in written
    mine.close()
    yours.close()


def test_a_stable_answer_is_not_kept_for_ever_when_our_clock_was_an_hour_ahead(
    fake: FakeBfl, db: Database
) -> None:
    fake.script("/thing", says(200, {"id": "one"}), says(200, {"id": "two"}))
    clock = SkippingClock(off=timedelta(hours=1))
    api = APIService(fake.url, KEY, clock=clock, cache=DatabaseCache(db))
    api.get_stable(Thing, "/thing", 60)

    clock.off = timedelta(0)

    assert api.get_stable(Thing, "/thing", 60).id == "two"
    api.close()
