"""The reference of errors tells what the code tells, and a test shows each row of the table."""

from __future__ import annotations

import re
from pathlib import Path

from fluxsmith.core.api_faults import FAULTS
from scripts.errors_page import PAGE, page

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_the_one_that_the_tables_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python scripts/errors_page.py"


def test_every_fault_has_words_and_a_code_of_its_own() -> None:
    assert len({fault.code for fault in FAULTS}) == len(FAULTS)
    assert all(fault.message and fault.hint and fault.when for fault in FAULTS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", fault.code) for fault in FAULTS)


def test_every_fault_is_shown_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [fault.code for fault in FAULTS if f'"{fault.code}"' not in tests] == []
