"""A file that cannot be read as an image is refused for the right reason."""

import io
import struct

import numpy as np
import PIL.Image
import pytest

from supcon_tf.data import pixels


def content(kind, mode="RGB", **options):
    stream = io.BytesIO()
    PIL.Image.new(mode, (20, 20), 0).save(stream, kind, **options)
    return stream.getvalue()


def broken_png():
    data = bytearray(content("PNG"))
    data[29:33] = bytes(4)  # checksum of the header
    return bytes(data)


def tiff(channels, bits, floating=False):
    """Returns an uncompressed TIFF of 4x4 pixels."""
    shape = (4, 4, channels)
    data = np.zeros(shape, f"<{'f' if floating else 'u'}{bits // 8}").tobytes()
    entries = [
        (256, [4]),
        (257, [4]),
        (258, [bits] * channels),
        (259, [1]),
        (262, [2 if channels == 3 else 1]),
        (273, [0]),
        (277, [channels]),
    ]
    entries += [(278, [4]), (279, [len(data)]), (339, [3 if floating else 1] * channels)]
    start = 8 + 2 + 12 * len(entries) + 4
    more = b""
    rows = []
    for tag, values in entries:
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            packed, more = struct.pack("<I", start + len(more)), more + packed
        rows.append([tag, len(values), packed.ljust(4, b"\0")])
    rows[5][2] = struct.pack("<HH", start + len(more), 0)
    directory = b"".join(struct.pack("<HHI", tag, 3, count) + packed for tag, count, packed in rows)
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + directory + bytes(4) + more + data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (bytes(100), "a file of zeros"),
        (b"text", "no known image format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC; convert it to JPEG or PNG"),
        (tiff(4, 16), "a TIFF of 4 channels of 16 bits; convert it to JPEG or PNG"),
        (tiff(13, 16), "a TIFF of 13 channels of 16 bits; convert it to JPEG or PNG"),
        (
            tiff(3, 32, floating=True),
            "a TIFF of 3 channels of floating-point numbers of 32 bits; convert it to JPEG or PNG",
        ),
        (tiff(1, 32, True), "floating-point pixels, whose range is not known"),
        (b"II*\0" + bytes(50), "a damaged TIFF; convert it to JPEG or PNG"),
        (broken_png(), "a damaged PNG"),
        (content("JPEG")[:3] + b"\0" * 20, "a damaged JPEG"),
        (content("GIF", "P")[:8], "a damaged GIF"),
        (content("WEBP")[:20], "a damaged WebP"),
        (b"%PDF-1.4", "a PDF; convert it to JPEG or PNG"),
        (b"8BPS\0\1", "a Photoshop file; convert it to JPEG or PNG"),
    ],
)
def test_the_reason_is_what_the_file_is(data, reason, capfd):
    with pytest.raises(Exception) as error:  # Pillow's readers raise errors of many kinds
        pixels.convert(data)
    assert pixels.reason(error.value) == reason
    assert "samples per pixel" not in capfd.readouterr().err.lower()  # Pillow's own words are not printed


def test_an_ordinary_tiff_of_the_same_writer_is_read():
    image = pixels.convert(tiff(3, 8)).content
    assert pixels.decode_image(image, 3).shape == (4, 4, 3)
