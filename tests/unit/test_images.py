"""Pictures on their way in: what comes out of odd ones, and how unusable ones are refused."""

from __future__ import annotations

import hashlib
import io

import pytest
import pyvips
from PIL import Image, ImageCms

from fluxsmith.core.images import read_picture, thumbnail
from fluxsmith.errors import ValidationError
from tests.broken import (
    BROKEN_PICTURES,
    ODD_PICTURES,
    RED,
    Broken,
    Odd,
    animated,
    encoded,
    noise,
    picture,
    turned_by_exif,
)


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


@pytest.mark.parametrize("case", ODD_PICTURES, ids=str)
def test_an_odd_picture_becomes_a_plain_rgb_png(case: Odd) -> None:
    found = read_picture(case.make(), case.filename)
    image = opened(found.png)
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert image.size == (found.width, found.height) == case.size
    pixel = image.getpixel((case.size[0] // 2, case.size[1] // 2))
    assert isinstance(pixel, tuple)
    assert all(abs(a - b) <= 4 for a, b in zip(pixel, case.colour, strict=True))
    assert found.sha256 == hashlib.sha256(found.png).hexdigest()


@pytest.mark.parametrize("case", BROKEN_PICTURES, ids=str)
def test_a_broken_picture_is_refused_in_its_words(case: Broken) -> None:
    with pytest.raises(ValidationError) as caught:
        read_picture(case.make(), case.filename)
    assert (caught.value.code, caught.value.message) == (case.code, case.message)
    assert caught.value.hint and caught.value.field == "pictures"


def test_nothing_of_a_pictures_metadata_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "marked description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    png = read_picture(picture("JPEG", exif=exif, icc_profile=profile, dpi=(300, 300)), "a.jpg").png
    assert b"marked" not in png and b"iCCP" not in png and b"eXIf" not in png


def test_the_same_pixels_have_the_same_hash_whatever_their_file_says_beside() -> None:
    first = read_picture(picture(dpi=(72, 72)), "a.png")
    assert first.sha256 == read_picture(picture(dpi=(300, 300)), "b.png").sha256
    assert first.sha256 != read_picture(picture(colour=(1, 2, 3)), "c.png").sha256


def test_a_turned_picture_is_upright_afterwards() -> None:
    image = Image.new("RGB", (64, 48), (255, 255, 255))
    image.paste(RED, (0, 0, 32, 48))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise: what was left is on top
    png = read_picture(encoded(image, "JPEG", exif=exif), "a.jpg").png
    top, bottom = opened(png).getpixel((24, 8)), opened(png).getpixel((24, 56))
    assert isinstance(top, tuple) and isinstance(bottom, tuple)
    assert top[1] < 60 and bottom[1] > 200
    assert opened(read_picture(turned_by_exif(), "b.jpg").png).size == (48, 64)


def test_what_was_left_out_of_an_animation_is_noted() -> None:
    assert read_picture(animated("WEBP"), "a.webp").notes == ("first of 2 frames taken",)
    assert read_picture(animated("PNG"), "a.png").notes == ("first frame taken",)
    assert read_picture(picture(), "a.png").notes == ()


def test_a_wide_gamut_picture_comes_out_in_srgb() -> None:
    red = pyvips.Image.new_from_buffer(picture(), "")
    wide = red.icc_transform("p3", input_profile="srgb").pngsave_buffer(profile="p3")
    stored, found = opened(wide).getpixel((1, 1)), opened(read_picture(wide, "a.png").png).getpixel((1, 1))
    assert isinstance(stored, tuple) and isinstance(found, tuple)
    assert max(abs(a - b) for a, b in zip(stored, RED, strict=True)) > 10
    assert max(abs(a - b) for a, b in zip(found, RED, strict=True)) <= 3


def test_a_thumbnail_is_a_small_webp_of_the_same_shape() -> None:
    png = read_picture(noise(size=(400, 200)), "a.jpg").png
    image = opened(thumbnail(png, 100))
    assert (image.format, image.size) == ("WEBP", (100, 50))


def test_a_thumbnail_never_enlarges() -> None:
    assert opened(thumbnail(picture(), 1_000)).size == (64, 48)


def test_any_byte_of_a_picture_may_be_wrong_without_another_kind_of_error() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        good = noise(kind, size=(32, 24))
        for at in range(0, len(good), 17):
            data = bytearray(good)
            data[at] ^= 0xFF
            try:
                found = read_picture(bytes(data), "a.png")
            except ValidationError as error:
                assert error.code.startswith("picture-")
            else:
                assert found.width * found.height <= 1024 * 1024
