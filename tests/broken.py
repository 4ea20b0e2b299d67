"""Makers of every broken or odd zip and picture, and the words that answer them.

Shared by the tests of services, API, page and shell: each entry of `BROKEN_ZIPS`, `BROKEN_PICTURES` and
`BROKEN_CAPTIONS` is refused with exactly its code and message; each of `ODD_PICTURES` is taken.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

RED = (200, 30, 40)


@dataclass(frozen=True)
class Broken:
    """An upload that must be refused: how to make it, and what is said."""

    name: str
    filename: str
    make: Callable[[], bytes]
    code: str
    message: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Odd:
    """A picture that is unusual and yet usable, and the size it is read as."""

    name: str
    filename: str
    make: Callable[[], bytes]
    size: tuple[int, int]
    colour: tuple[int, int, int]

    def __str__(self) -> str:
        return self.name


def picture(
    kind: str = "PNG",
    size: tuple[int, int] = (64, 48),
    mode: str = "RGB",
    colour: object = RED,
    **options: object,
) -> bytes:
    """An encoded picture of one colour."""
    image = Image.new("RGB", size, RED).convert(mode) if colour == RED else Image.new(mode, size, colour)  # type: ignore[arg-type]
    return encoded(image, kind, **options)


def noise(kind: str = "JPEG", size: tuple[int, int] = (160, 120), **options: object) -> bytes:
    """An encoded picture of noise: large enough to be cut off."""
    return encoded(Image.effect_noise(size, 90).convert("RGB"), kind, **options)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Bytes of a picture in a format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_of(
    width: int, height: int, *, depth: int = 8, colour_type: int = 2, rows: bytes = b"\0" * 64
) -> bytes:
    """A PNG written by hand: any header, any rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def png_16_bit() -> bytes:
    """A 16-bit RGB PNG of the colour RED."""
    row = b"\0" + b"".join(struct.pack(">H", value * 257) for value in RED) * 64
    return png_of(64, 48, depth=16, rows=row * 48)


def turned_by_exif() -> bytes:
    """A JPEG that lies on its side and says so in its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", exif=exif)


def animated(kind: str) -> bytes:
    """Two frames, the first one red."""
    second = Image.new("RGB", (64, 48), (0, 0, 255))
    return picture(kind, save_all=True, append_images=[second], duration=100)


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    """That many different pictures, named 00.png, 01.png, …"""
    return {f"{n:02}.png": picture(colour=(n * 9 % 256, 255 - n % 256, 90)) for n in range(count)}


def good_zip(count: int = 5) -> bytes:
    """A zip as it should be: pictures, a caption for each, and what a Mac adds."""
    files = pictures(count)
    captions = {name.replace(".png", ".txt"): f"tok number {n}".encode() for n, name in enumerate(files)}
    junk = {"__MACOSX/._00.png": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1"}
    return zip_of({f"set/{name}": data for name, data in (files | captions).items()} | junk)


def encrypted_zip() -> bytes:
    """A zip whose entries carry the flag of a password."""
    data = bytearray(zip_of({"a.png": picture()}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def symlink_zip() -> bytes:
    """A zip with a link to a file outside of it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("passwd.png")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return out.getvalue()


def duplicate_zip() -> bytes:
    """A zip with two files of one name (written under two, renamed in the bytes)."""
    return zip_of({"a.png": picture(), "b.png": picture()}).replace(b"b.png", b"a.png")


def understated_zip() -> bytes:
    """A zip that declares a megabyte-sized entry to have ten bytes."""
    data = bytearray(zip_of({"a.png": b"\0" * 1_000_000}))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 10)
    return bytes(data)


def listing_zip(count: int) -> bytes:
    """A zip with very many empty files."""
    return zip_of({f"{n}.png": b"" for n in range(count)}, zipfile.ZIP_STORED)


def boastful_zip() -> bytes:
    """A zip whose end announces a list of a gigabyte."""
    data = bytearray(zip_of({"a.png": picture()}))
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 1 << 30)
    return bytes(data)


_NO_PICTURE = "There is no picture in it; pictures must be JPG, PNG or WebP."

BROKEN_ZIPS = (
    Broken("no zip", "a.zip", lambda: b"not a zip at all" * 9, "zip-unreadable", "The file is not a zip."),
    Broken("zero bytes", "a.zip", lambda: b"", "zip-empty", "The zip is empty (0 bytes)."),
    Broken(
        "cut off", "a.zip", lambda: good_zip()[:-60], "zip-damaged", "The zip is cut off: its end is missing."
    ),
    Broken(
        "damaged inside",
        "a.zip",
        lambda: zip_of({"a.png": picture()}, zipfile.ZIP_STORED).replace(b"IHDR", b"IHDX"),
        "zip-damaged",
        "'a.png' inside the zip is damaged.",
    ),
    Broken("encrypted", "a.zip", encrypted_zip, "zip-encrypted", "The zip is encrypted ('a.png')."),
    Broken("no files", "a.zip", lambda: zip_of({}), "zip-empty", "The zip is empty: it holds no files."),
    Broken("no picture", "a.zip", lambda: zip_of({"notes.md": b"# hello"}), "no-pictures", _NO_PICTURE),
    Broken("only junk", "a.zip", lambda: zip_of({"__MACOSX/._a.png": b"x"}), "no-pictures", _NO_PICTURE),
    Broken(
        "too many pictures",
        "a.zip",
        lambda: zip_of(pictures(21)),
        "too-many-pictures",
        "There are 21 pictures; at most 20 are allowed.",
    ),
    Broken(
        "bomb by ratio",
        "a.zip",
        lambda: zip_of({"a.png": b"\0" * 20_000_000}),
        "zip-bomb",
        "'a.png' inside the zip unpacks to more than 200 times its packed size; no picture does that.",
    ),
    Broken(
        "bomb by count",
        "a.zip",
        lambda: listing_zip(2_001),
        "zip-bomb",
        "The zip lists 2,001 files; at most 2,000 are read.",
    ),
    Broken(
        "bomb by a boastful end",
        "a.zip",
        boastful_zip,
        "zip-bomb",
        "The zip lists 1 files in a list of 1,073.7 MB; that is no set of pictures.",
    ),
    Broken(
        "bomb that understates", "a.zip", understated_zip, "zip-damaged", "'a.png' inside the zip is damaged."
    ),
    Broken(
        "nested zip",
        "a.zip",
        lambda: zip_of({"inner.zip": good_zip(), "a.png": picture()}),
        "zip-nested",
        "'inner.zip' inside the zip is an archive itself.",
    ),
    Broken(
        "nested zip in disguise",
        "a.zip",
        lambda: zip_of({"inner.dat": good_zip(), "a.png": picture()}),
        "zip-nested",
        "'inner.dat' inside the zip is an archive itself.",
    ),
    Broken(
        "absolute name",
        "a.zip",
        lambda: zip_of({"/etc/a.png": picture()}),
        "zip-unsafe-name",
        "The zip names a file outside of itself: '/etc/a.png'.",
    ),
    Broken(
        "name of another drive",
        "a.zip",
        lambda: zip_of({"C:\\a.png": picture()}),
        "zip-unsafe-name",
        "The zip names a file outside of itself: 'C:/a.png'.",
    ),
    Broken(
        "name that climbs out",
        "a.zip",
        lambda: zip_of({"x/../../a.png": picture()}),
        "zip-unsafe-name",
        "The zip names a file outside of itself: 'x/../../a.png'.",
    ),
    Broken(
        "name with control characters",
        "a.zip",
        lambda: zip_of({"a\x1b[31m.png": picture()}),
        "zip-unsafe-name",
        "The zip holds a file whose name cannot be used: 'a\\x1b[31m.png'.",
    ),
    Broken(
        "symlink",
        "a.zip",
        symlink_zip,
        "zip-link",
        "'passwd.png' inside the zip is a link or another special file, not a picture.",
    ),
    Broken("duplicate names", "a.zip", duplicate_zip, "duplicate-names", "2 files are called 'a.png'."),
    Broken(
        "uncommon method",
        "a.zip",
        lambda: zip_of({"a.png": picture()}, zipfile.ZIP_LZMA),
        "zip-unreadable",
        "'a.png' inside the zip is packed by an uncommon method.",
    ),
    Broken(
        "caption that is not UTF-8",
        "a.zip",
        lambda: zip_of({"a.png": picture(), "a.txt": "Käfer".encode("latin-1")}),
        "caption-not-utf8",
        "The caption file 'a.txt' is not UTF-8 text (byte 2 is the first bad one).",
    ),
    Broken(
        "caption without a picture",
        "a.zip",
        lambda: zip_of({"a.png": picture(), "b.txt": b"tok"}),
        "caption-without-picture",
        "The caption file 'b.txt' has no picture of the same name.",
    ),
    Broken(
        "caption that is too long",
        "a.zip",
        lambda: zip_of({"a.png": picture(), "a.txt": b"tok " * 600}),
        "invalid-input",
        "'a.png': Caption must have at most 2,000 characters, not 2,399.",
    ),
    Broken(
        "caption with NUL",
        "a.zip",
        lambda: zip_of({"a.png": picture(), "a.txt": b"tok\0tok"}),
        "invalid-input",
        "'a.png': Caption must not contain NUL characters.",
    ),
    Broken(
        "one bad picture among good ones",
        "a.zip",
        lambda: zip_of(pictures(3) | {"bad.png": b"garbage"}),
        "picture-unknown",
        "'bad.png' is not a picture that can be read; pictures must be JPG, PNG or WebP.",
    ),
)

BROKEN_PICTURES = (
    Broken("zero bytes", "a.png", lambda: b"", "picture-empty", "'a.png' is empty (0 bytes)."),
    Broken(
        "garbage",
        "a.jpg",
        lambda: b"\0\1\2\3" * 100,
        "picture-unknown",
        "'a.jpg' is not a picture that can be read; pictures must be JPG, PNG or WebP.",
    ),
    Broken(
        "text named as a picture",
        "a.png",
        lambda: b"hello",
        "picture-unknown",
        "'a.png' is not a picture that can be read; pictures must be JPG, PNG or WebP.",
    ),
    Broken(
        "animated GIF",
        "a.gif",
        lambda: animated("GIF"),
        "picture-unknown",
        "'a.gif' is a GIF file; pictures must be JPG, PNG or WebP.",
    ),
    Broken(
        "one pixel",
        "a.png",
        lambda: picture(size=(1, 1)),
        "picture-too-small",
        "'a.png' has 1 × 1 pixels; each side must have at least 16.",
    ),
    Broken(
        "a thread",
        "a.png",
        lambda: png_of(1_000_000, 16),
        "picture-too-small",
        "'a.png' has 1,000,000 × 16 pixels, too narrow: "
        "scaled to one megapixel a side would have less than 16.",
    ),
    Broken(
        "30,000 by 30,000",
        "a.png",
        lambda: png_of(30_000, 30_000),
        "picture-too-large",
        "'a.png' has 30,000 × 30,000 pixels; at most 100 megapixels are read.",
    ),
    Broken(
        "promises more than it holds",
        "a.png",
        lambda: png_of(300, 300),
        "picture-damaged",
        "'a.png' is damaged or cut off: it starts as a PNG but cannot be read to its end.",
    ),
    *(
        Broken(
            f"{words} {kind}",
            "a.jpg",
            lambda kind=kind, options=options, share=share: _cut(noise(kind, **options), share),  # type: ignore[misc]
            "picture-damaged",
            f"'a.jpg' is damaged or cut off: it starts as a {shown} but cannot be read to its end.",
        )
        for kind, shown, options in (
            ("JPEG", "JPEG", {}),
            ("JPEG", "JPEG", {"progressive": True}),
            ("PNG", "PNG", {}),
            ("WEBP", "WebP", {}),
        )
        for words, share in (("half a", 0.5), ("nearly a whole", 0.98))
    ),
)

BROKEN_CAPTIONS = tuple(case for case in BROKEN_ZIPS if "caption" in case.name)

ODD_PICTURES = (
    Odd("animated WebP", "a.webp", lambda: animated("WEBP"), (64, 48), RED),
    Odd("animated PNG", "a.png", lambda: animated("PNG"), (64, 48), RED),
    Odd("CMYK", "a.jpg", lambda: picture("JPEG", mode="CMYK"), (64, 48), (190, 64, 64)),
    Odd("16-bit", "a.png", png_16_bit, (64, 48), RED),
    Odd("16-bit gray", "a.png", lambda: picture(mode="I;16", colour=0x8000), (64, 48), (128, 128, 128)),
    Odd("gray", "a.jpg", lambda: picture("JPEG", mode="L", colour=128), (64, 48), (128, 128, 128)),
    Odd("one bit", "a.png", lambda: picture(mode="1", colour=1), (64, 48), (255, 255, 255)),
    Odd("turned by EXIF", "a.jpg", turned_by_exif, (48, 64), RED),
    Odd(
        "half transparent",
        "a.png",
        lambda: picture(mode="RGBA", colour=(*RED, 128)),
        (64, 48),
        (227, 142, 147),
    ),
    Odd(
        "wholly transparent", "a.png", lambda: picture(mode="RGBA", colour=(0, 0, 0, 0)), (64, 48), (255,) * 3
    ),
    Odd("PNG named JPG", "a.jpg", picture, (64, 48), RED),
    Odd("WebP named PNG", "a.png", lambda: picture("WEBP", lossless=True), (64, 48), RED),
    Odd("over a megapixel", "a.jpg", lambda: picture("JPEG", (2_000, 1_500)), (1_181, 886), RED),
    Odd("one megapixel", "a.png", lambda: picture(size=(1_024, 1_024)), (1_024, 1_024), RED),
)


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]
