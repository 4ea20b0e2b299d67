"""The log: one shape for all libraries, ids on each line, no secrets, no pictures."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from fluxsmith.config.env import EnvManager
from fluxsmith.config.settings import Settings
from fluxsmith.core.logging import bind_context, configure_logging, get_logger

MARKED = "marked-key-4711-abcdef"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines; pytest's own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    environ = {"FLUXSMITH_LOG_FORMAT": "json", "BFL_API_KEY": MARKED}
    configure_logging(Settings.load(EnvManager(environ)), stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_every_line_carries_the_ids_that_are_bound(log: io.StringIO) -> None:
    with bind_context(request_id="r-1", user="local"):
        get_logger("ours").info("Started.", steps=3)
        logging.getLogger("theirs").warning("Beware of %s", "dogs")
    get_logger("ours").info("Afterwards.")
    ours, theirs, afterwards = lines(log)
    assert (ours["event"], ours["steps"], ours["level"], ours["logger"]) == ("Started.", 3, "info", "ours")
    assert theirs["event"] == "Beware of dogs"
    assert ours["request_id"] == theirs["request_id"] == "r-1"
    assert ours["user"] == "local"
    assert "request_id" not in afterwards


@pytest.mark.parametrize("name", ["uvicorn.access", "sqlalchemy.engine", "dbos", "alembic.runtime"])
def test_libraries_log_into_the_same_lines(log: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("From a library.")
    assert [line["logger"] for line in lines(log)] == [name]


@pytest.mark.parametrize(
    "name", ["x-key", "Authorization", "api_key", "secret_key", "password", "BFL_API_KEY"]
)
def test_a_field_that_is_named_like_a_secret_is_masked(log: io.StringIO, name: str) -> None:
    get_logger("ours").info("Called.", **{name: "some-value"})
    get_logger("ours").info("Called.", headers={name: "some-value", "accept": "all"})
    assert "some-value" not in log.getvalue()
    assert lines(log)[1]["headers"]["accept"] == "all"


def test_a_known_secret_is_masked_wherever_it_stands(log: io.StringIO) -> None:
    logger = get_logger("ours")
    logger.info(
        f"Calling with {MARKED}.", url=f"https://x/?k={MARKED}", deep={"list": [MARKED, {"a": MARKED}]}
    )
    logging.getLogger("theirs").error("%s failed", {"k": MARKED})
    try:
        raise ValueError(f"bad key {MARKED}")
    except ValueError:
        logger.exception("It failed.")
    assert len(lines(log)) == 3
    assert MARKED not in log.getvalue()
    assert "bad key ***" in lines(log)[2]["exception"]


def test_pictures_are_never_logged(log: io.StringIO) -> None:
    picture = bytes(range(256)) * 40
    text = base64.b64encode(picture).decode()
    get_logger("ours").info(
        "Got it.", raw=picture, body={"file_data": text, "image": f"data:image/png;base64,{text}"}
    )
    logging.getLogger("theirs").info("body: %s", text)
    assert text[:300] not in log.getvalue()
    assert len(log.getvalue()) < 1500
    assert "10240 bytes" in lines(log)[0]["raw"]


def test_a_long_text_is_cut_and_says_so(log: io.StringIO) -> None:
    get_logger("ours").info("Prompt.", prompt="a cat " * 20_000)
    assert len(log.getvalue()) < 3000
    assert "120000 characters" in lines(log)[0]["prompt"]


def test_lines_for_people_are_no_json() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(Settings.load(EnvManager({})), stream)
    try:
        get_logger("ours").info("Hello.", steps=3)
    finally:
        logging.captureWarnings(False)
        root.handlers[:], root.level = handlers, level
    assert "Hello." in stream.getvalue()
    assert "steps=3" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
