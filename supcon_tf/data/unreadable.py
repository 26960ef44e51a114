"""Says what a file is that cannot be read as an image."""

import io
import warnings
from typing import Optional

import PIL.TiffImagePlugin

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# The first bytes of formats whose files are images, but damaged or of a kind that no reader here knows
FORMATS = {
    JPEG: "JPEG",
    PNG: "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"8BPS": "Photoshop file",
    b"%PDF": "PDF",
    b"%!PS": "PostScript file",
    b"SIMPLE  =": "FITS file",
    b"gimp xcf": "GIMP file",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF"}
CONVERTED = "convert it to JPEG or PNG"  # what helps with a format that no reader here knows
BITS, SAMPLES, SAMPLE_FORMAT = 258, 277, 339  # tags of TIFF
FLOATING = 3  # a value of SAMPLE_FORMAT
READABLE = ("JPEG", "PNG", "GIF", "BMP")  # a file of these that cannot be read is damaged


def describe(content: bytes) -> str:
    """Says in a few words what the content of a file is that no reader took.

    >>> describe(b""), describe(b"GIF89a"), describe(b"hello")
    ('an empty file', 'a damaged GIF', 'no known image format')
    """
    if not content:
        return "an empty file"
    if not content.strip(b"\0"):
        return "a file of zeros"
    if content[4:8] == b"ftyp" and content[8:12] in BRANDS:
        return f"{BRANDS[content[8:12]]}; {CONVERTED}"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "a damaged WebP"
    found = next((name for magic, name in FORMATS.items() if content.startswith(magic)), None)
    if found is None:
        return "no known image format"
    if found in READABLE:
        return f"a damaged {found}"
    if found == "TIFF":
        return f"{_tiff(content) or 'a damaged TIFF'}; {CONVERTED}"
    return f"a {found}; {CONVERTED}"


def _tiff(content: bytes) -> Optional[str]:
    """Says which pixels a TIFF has; None if that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what this function then says
            tags = PIL.TiffImagePlugin.ImageFileDirectory_v2(content[:8])
            tags.load(_at(content, tags.next))
        bits, channels = tags[BITS], tags.get(SAMPLES, 1)
        width = max(bits) if isinstance(bits, tuple) else bits
        kinds = tags.get(SAMPLE_FORMAT, 1)
        floating = FLOATING in (kinds if isinstance(kinds, tuple) else (kinds,))
    except Exception:  # Pillow's readers raise errors of many kinds
        return None
    number = f"{width} bits" if not floating else f"floating-point numbers of {width} bits"
    return f"a TIFF of {channels} channel{'s' * (channels != 1)} of {number}"


def _at(content: bytes, offset: int) -> io.BytesIO:
    stream = io.BytesIO(content)
    stream.seek(offset)
    return stream
