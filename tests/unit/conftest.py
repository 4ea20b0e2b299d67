"""Fixtures of the units' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluxsmith.core.database import Database
from fluxsmith.providers.bfl import BflProvider
from tests.clocks import SkippingClock
from tests.clouds import provider_at
from tests.fake_bfl import FakeBfl


@pytest.fixture
def provider(fake: FakeBfl, db: Database, clock: SkippingClock) -> Iterator[BflProvider]:
    """BFL's provider at the fake, with the script that the test's module gives it."""
    made = provider_at(fake.url, db, clock)
    yield made
    made.close()
