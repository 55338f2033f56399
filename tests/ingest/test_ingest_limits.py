"""What a file asks for is compared with what there is before any of it is allocated."""

import tracemalloc
import zlib
from io import BytesIO
from struct import pack

import numpy as np
import pydicom
import pytest
from dicom_files import content_of, ct, enhanced_ct, save
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from ctrobust.ingest import Pseudonyms, Refused, opening, read_slices, scan
from ctrobust.ingest.codestream import check_codestream
from ctrobust.ingest.elements import numbers
from ctrobust.ingest.refusal import RefusalError
from ctrobust.ingest.spool import chunks_of, inflate

PSEUDONYMS = Pseudonyms(bytes(32))
MIB = 1 << 20


def refusal(path):
    """The reason; and that it cost little memory."""
    tracemalloc.start()
    headers = scan([path])
    (refused,) = [*headers.refused, *read_slices(headers, PSEUDONYMS)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB
    return refused.reason


def encoded(syntax, frame, **elements):
    dataset = ct(PixelData=encapsulate([frame]), **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def jpeg(rows, columns, marker=0xC3, components=1, before=b""):
    frame = pack(">BBHBHHB", 0xFF, marker, 8 + 3 * components, 16, rows, columns, components)
    return b"\xff\xd8" + before + frame + bytes(3 * components) + b"\xff\xda\0\x08" + bytes(40)


def jpeg_2000(rows, columns, tile=4096, components=1):
    return (
        b"\xff\x4f\xff\x51"
        + pack(">HH8LH", 41, 0, columns, rows, 0, 0, tile, tile, 0, 0, components)
        + bytes(40)
    )


def test_a_deflated_bomb_stops_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_INFLATED", 2 * MIB)
    dataset = ct()
    plain = content_of(dataset)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated = content_of(dataset)
    place = deflated.index(b"1.2.840.10008.1.2.1.99") + 22
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = plain[plain.index(b"\x08\0\x08\0CS") :]
    meta = deflated[: deflated.index(b"\x02\0\x12\0") if b"\x02\0\x12\0" in deflated else place]
    bomb = meta + squeeze.compress(body + bytes(64 * MIB)) + squeeze.flush()
    (tmp_path / "bomb").write_bytes(bomb)
    assert "inflates to more than 2 MiB" in refusal(tmp_path / "bomb")


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEGLosslessSV1, jpeg(65535, 65535)),
        (JPEGLSLossless, jpeg(60000, 60000, 0xF7)),
        (JPEG2000Lossless, jpeg_2000(60000, 60000)),
        (JPEGLosslessSV1, jpeg(16, 16, components=4)),
        (JPEG2000Lossless, jpeg_2000(16, 16, components=16384)),
        (JPEG2000Lossless, jpeg_2000(16, 17)),
    ],
)
def test_a_codestream_larger_than_its_header_is_never_decoded(tmp_path, monkeypatch, syntax, frame):
    monkeypatch.setattr(
        "pydicom.pixels.decoders.base.Decoder.as_array", lambda *_, **__: pytest.fail("decoded")
    )
    assert refusal(save(encoded(syntax, frame), tmp_path / "a")) == (
        "its encoded pixels are of another size than its header declares"
    )


@pytest.mark.parametrize(
    ("syntax", "frame", "reason"),
    [
        (JPEGLosslessSV1, b"no JPEG at all", "are no JPEG"),
        (JPEGLosslessSV1, b"\xff\xd8\0\0", "are damaged"),
        (JPEGLosslessSV1, jpeg(16, 16, before=jpeg(9999, 9999)[2:16]), "are damaged"),
        (JPEGLSLossless, jpeg(16, 16, 0xF7, before=b"\xff\xf8\0\x0c\x04" + bytes(9)), "of another size"),
        (JPEG2000Lossless, b"no JPEG at all", "are no JPEG 2000"),
        (JPEG2000Lossless, jpeg_2000(16, 16, tile=0), "are damaged"),
    ],
)
def test_a_codestream_that_hides_its_size_is_refused(syntax, frame, reason):
    with pytest.raises(RefusalError, match=reason):
        check_codestream(frame, syntax, (16, 16))


def test_a_codestream_of_countless_tiles_is_refused():
    with pytest.raises(RefusalError, match="tiles"):
        check_codestream(jpeg_2000(4096, 4096, tile=1), JPEG2000Lossless, (4096, 4096))


def test_real_codestreams_pass(shared):
    checked = 0
    for path in sorted((shared("dicom") / "cornerstone_syntaxes").glob("CTImage*JPEG*")):
        dataset = pydicom.dcmread(path)
        check_codestream(get_frame(dataset.PixelData, 0), dataset.file_meta.TransferSyntaxUID, (512, 512))
        checked += 1
    assert checked == 10


def test_more_encoded_bytes_than_any_slice_needs(tmp_path):
    path = save(encoded(RLELossless, bytes(3 * MIB)), tmp_path / "a")
    (refused,) = scan([path]).refused
    assert "more encoded pixels in the file" in refused.reason


def test_one_frame_may_not_take_the_room_of_all(tmp_path):
    stored = np.zeros((4, 16, 16), np.int16)
    frames = [{"PlanePosition": {"ImagePositionPatient": [0, 0, z]}} for z in range(4)]
    shared = {
        "PixelMeasures": {"PixelSpacing": [1, 1]},
        "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelValueTransformation": {"RescaleSlope": 1, "RescaleIntercept": 0},
    }
    dataset = enhanced_ct(stored, frames, shared)
    compress(dataset, RLELossless)
    small = get_frame(dataset.PixelData, 0, number_of_frames=4)
    dataset.PixelData = encapsulate([small, small, bytes(2 * MIB), small])
    headers = scan([save(dataset, tmp_path / "a")])
    assert len(headers.slices) == 4
    (refused,) = [found for found in read_slices(headers, PSEUDONYMS) if isinstance(found, Refused)]
    assert "more encoded pixels in the file" in refused.reason


def test_a_long_private_element_is_not_read_into_memory(tmp_path):
    dataset = ct(Modality="MR")
    dataset.private_block(0x0009, "MAKER", create=True).add_new(1, "OB", bytes(16 * MIB))
    path = save(dataset, tmp_path / "a")
    del dataset
    assert "magnetic resonance" in refusal(path)


def test_the_largest_slice_is_taken(tmp_path):
    stored = np.zeros((4096, 16), np.int16)
    (record,) = read_slices(scan([save(ct(stored), tmp_path / "a")]), PSEUDONYMS)
    assert record.image_hu.shape == (4096, 16)


def test_sequences_nested_without_end_are_refused(tmp_path):
    """Deeper than the parser's recursion."""
    stream = BytesIO(content_of(ct()))
    content = bytearray(stream.getvalue())
    place = content.index(b"\x08\0\x16\0UI")
    nested = b"\x08\0\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 3000
    (tmp_path / "a").write_bytes(content[:place] + nested + content[place:])
    assert refusal(tmp_path / "a") == "damaged DICOM"


@pytest.mark.parametrize("left", [1, 100, 511])
def test_pixels_that_break_off_are_refused_by_the_header_alone(tmp_path, left):
    """The header declares them, the file ends before."""
    content = content_of(ct())
    (tmp_path / "a").write_bytes(content[: len(content) - 512 + left])
    (refused,) = scan([tmp_path / "a"]).refused
    assert refused.reason.startswith("fewer pixels in the file than")


def test_pixels_of_floating_point_are_no_stored_values(tmp_path):
    dataset = ct(PixelData=None, FloatPixelData=np.zeros((16, 16), np.float32).tobytes(), BitsAllocated=32)
    (refused,) = scan([save(dataset, tmp_path / "a")]).refused
    assert refused.reason == "no pixels"


def test_what_breaks_off_while_it_is_unpacked_is_no_whole():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    whole = deflate.compress(bytes(1000)) + deflate.flush()
    assert b"".join(inflate(BytesIO(whole))) == bytes(1000)
    with pytest.raises(RefusalError, match="breaks off"):
        list(inflate(BytesIO(whole[:-1])))
    with pytest.raises(RefusalError, match="breaks off"):
        list(chunks_of(BytesIO(bytes(9)), 10))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, 2.0], [], "", None])
def test_a_number_is_one_finite_number(value):
    with pytest.raises(RefusalError, match="RescaleSlope"):
        numbers({"RescaleSlope": value}, "RescaleSlope", 1)
    assert numbers({"RescaleSlope": "1.5"}, "RescaleSlope", 1) == (1.5,)
