"""Zips of training pictures: what is taken, and how everything else is refused."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import pytest

from fluxsmith.core.archives import ZipLimits, is_zip, read_base64, read_training_zip
from fluxsmith.errors import StorageError, ValidationError
from tests.broken import BROKEN_ZIPS, Broken, good_zip, picture, pictures, zip_of

OF_THE_SERVICE = {"one bad picture among good ones", "caption that is too long", "caption with NUL"}
"""Refused later, by the service: a zip's reader neither decodes pictures nor knows captions' rules."""


def test_pictures_come_with_the_captions_of_the_same_stem() -> None:
    found = read_training_zip(good_zip(3))
    assert [item.filename for item in found] == ["set/00.png", "set/01.png", "set/02.png"]
    assert [item.caption for item in found] == ["tok number 0", "tok number 1", "tok number 2"]
    assert found[0].data == pictures(1)["00.png"]


def test_a_zip_is_read_from_a_file_as_from_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(good_zip(2))
    assert read_training_zip(path) == read_training_zip(good_zip(2))


def test_a_zip_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is missing"):
        read_training_zip(tmp_path / "a.zip")


def test_captions_lie_in_a_folder_of_their_own_or_have_a_byte_order_mark() -> None:
    files = {"images/Käfer.png": picture(), "captions/Käfer.txt": "\ufeff tok, ein Käfer\r\n".encode()}
    [found] = read_training_zip(zip_of(files))
    assert found.caption == "tok, ein Käfer"


def test_a_picture_without_a_caption_or_with_a_blank_one_has_none() -> None:
    found = read_training_zip(zip_of({"a.png": picture(), "b.png": picture(), "b.txt": b" \n"}))
    assert [item.caption for item in found] == [None, None]


def test_a_picture_is_known_by_its_content_and_other_files_are_left_out() -> None:
    files = {"photo": picture("JPEG"), "LICENSE.md": b"CC-BY", "metadata.json": b"{}", "sub/": b""}
    assert [item.filename for item in read_training_zip(zip_of(files))] == ["photo"]


@pytest.mark.parametrize("case", [case for case in BROKEN_ZIPS if case.name not in OF_THE_SERVICE], ids=str)
def test_a_broken_zip_is_refused_in_its_words(case: Broken) -> None:
    with pytest.raises(ValidationError) as caught:
        read_training_zip(case.make())
    assert (caught.value.code, caught.value.message) == (case.code, case.message)
    assert caught.value.hint


def test_a_zip_may_not_unpack_to_more_than_the_total() -> None:
    limits = ZipLimits(max_total_bytes=500)
    with pytest.raises(ValidationError, match="unpacks to more than 500 bytes"):
        read_training_zip(zip_of(pictures(9), zipfile.ZIP_STORED), limits)


def test_one_file_may_not_unpack_to_more_than_its_share() -> None:
    with pytest.raises(ValidationError, match=r"'00\.png' inside the zip is larger than 100 bytes"):
        read_training_zip(zip_of(pictures(1)), ZipLimits(max_file_bytes=100))


def test_the_number_of_pictures_is_the_callers_to_say() -> None:
    assert len(read_training_zip(zip_of(pictures(21)), ZipLimits(max_pictures=21))) == 21
    with pytest.raises(ValidationError, match="at most 2 are allowed"):
        read_training_zip(zip_of(pictures(3)), ZipLimits(max_pictures=2))


def test_a_zip_for_giant_archives_is_refused_before_its_list_is_read() -> None:
    data = bytearray(good_zip(1))
    end = data.rindex(b"PK\x05\x06")
    data[end:end] = b"PK\x06\x07" + b"\0" * 16
    with pytest.raises(ValidationError, match="Zip64"):
        read_training_zip(bytes(data))


def test_any_byte_of_a_zip_may_be_wrong_without_another_kind_of_error(tmp_path: Path) -> None:
    good, path = good_zip(1), tmp_path / "a.zip"
    for at in range(len(good)):
        data = bytearray(good)
        data[at] ^= 0xFF
        path.write_bytes(data)
        for source in (bytes(data), path):
            try:
                read_training_zip(source)
            except ValidationError as error:
                assert error.message and error.hint


def test_a_zip_is_told_by_its_name_or_its_first_bytes() -> None:
    assert is_zip("A.ZIP", b"") and is_zip("upload", b"PK\x03\x04") and is_zip("upload", b"PK\x05\x06")
    assert not is_zip("a.png", b"\x89PNG")


def test_base64_may_have_a_data_prefix_and_line_breaks() -> None:
    text = base64.encodebytes(good_zip()).decode()
    assert read_base64(text) == read_base64(f"data:application/zip;base64,{text}") == good_zip()


@pytest.mark.parametrize(
    "text", ["", "data:application/zip;base64,", "not base64!", "QUJD=QUJD", "UEs", "ä" * 8]
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is empty or is not base64") as caught:
        read_base64(text)
    assert caught.value.field == "file_data"
