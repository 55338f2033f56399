"""However many threads read: the same store, little in flight, no file parsed twice, none that changed meanwhile."""

import os
import threading
import warnings
from itertools import count

import numpy as np
import pytest
from dicom_files import content_of, ct, save, write_ct
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from ctrobust.cli.main import main
from ctrobust.core.ahead import ahead
from ctrobust.ingest import Pseudonyms, Refused, opening, read_slices, scan
from ctrobust.ingest.layout import Layout
from ctrobust.ingest.pixels import stored_pixels, used_bits
from ctrobust.ingest.refusal import RefusalError, refusing
from ctrobust.store import Store

PSEUDONYMS = Pseudonyms(bytes(32))


@pytest.fixture
def folder(tmp_path):
    """Two patients with 24 slices each; three of the second are the first's, which the pixels alone give away; and
    a copy of a slice.
    """
    noise = np.random.default_rng(0).integers(0, 3000, (24, 64, 64)).astype(np.int16)
    for z, stored in enumerate(noise):
        for patient in "AB":
            shown = stored if patient == "A" or z % 8 == 0 else stored + 1
            write_ct(
                tmp_path / "in" / f"{patient}{z}",
                shown,
                PatientID=patient,
                SOPInstanceUID=f"1.{ord(patient)}.{z}",
                ImagePositionPatient=[0, 0, z],
            )
    (tmp_path / "in" / "copy").write_bytes((tmp_path / "in" / "A3").read_bytes())
    return tmp_path / "in"


@pytest.mark.parametrize("options", [[], ["--size", "40"]])
def test_the_store_does_not_depend_on_the_workers(folder, tmp_path, options):
    stores = []
    for workers in (1, 2, 7):
        out = tmp_path / f"{workers}.h5"
        assert main(["ingest", str(folder), "--out", str(out), "--workers", str(workers), *options]) == 0
        stores.append((out.read_bytes(), out.with_name(f"{workers}.ingest.json").read_bytes()))
    assert stores[0] == stores[1] == stores[2]
    assert len(Store(tmp_path / "1.h5")) == 45


def test_no_workers_is_a_mistake(folder, tmp_path, capsys):
    assert main(["ingest", str(folder), "--out", str(tmp_path / "a.h5"), "--workers", "0"]) == 2
    assert "--workers 0: give how many threads may work, 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_little_is_in_flight_and_all_of_it_in_order(workers):
    drawn = []

    def items():
        for item in range(50):
            drawn.append(item)
            yield item

    for done, result in enumerate(ahead(lambda item: item, items(), workers)):
        assert result == done
        assert len(drawn) - done <= 2 * workers
    assert len(drawn) == 50


def test_what_goes_wrong_in_a_thread_arrives_and_ends_the_threads():
    before = threading.active_count()
    results = ahead(lambda item: 1 // item, [1, 1, 0, 1], workers=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before


def test_a_consumer_that_stops_leaves_no_threads():
    before = threading.active_count()
    results = ahead(lambda item: item, count(), workers=3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_warnings_come_back_after_threads_have_silenced_them():
    barrier = threading.Barrier(4)

    def damaged(_):
        with refusing("damaged"):
            barrier.wait()
            warnings.warn("not to be seen", stacklevel=1)
            barrier.wait()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=damaged, args=(None,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not seen
        warnings.warn("to be seen", stacklevel=1)
        assert [str(entry.message) for entry in seen] == ["to be seen"]


def test_a_header_is_parsed_once(folder, tmp_path, monkeypatch):
    parsed, dcmread = [], opening.dcmread
    monkeypatch.setattr(opening, "dcmread", lambda *a, **k: parsed.append(a) or dcmread(*a, **k))
    assert main(["ingest", str(folder), "--out", str(tmp_path / "a.h5")]) == 0
    assert len(parsed) == 49


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kept", ["size and time", "size", "nothing"])
def test_a_file_that_changes_between_the_passes_is_refused(tmp_path, kept, workers):
    path = save(ct(SOPInstanceUID="1.2.3"), tmp_path / "slice")
    headers, before = scan([path]), path.stat()
    other = ct(np.zeros((16, 16) if kept != "nothing" else (16, 18), np.int16), SOPInstanceUID="1.2.3")
    path.write_bytes(content_of(other))
    if kept == "size and time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (refused,) = read_slices(headers, PSEUDONYMS, workers=workers)
    assert isinstance(refused, Refused)
    assert refused.reason == "changed while it was being read"


def test_a_file_that_was_only_touched_is_the_same(tmp_path):
    path = write_ct(tmp_path / "slice")
    headers = scan([path])
    path.touch()
    path.chmod(0o600)
    (record,) = read_slices(headers, PSEUDONYMS)
    assert not isinstance(record, Refused)


@given(
    st.sampled_from([8, 16, 32]),
    st.integers(1, 32),
    st.booleans(),
    st.sampled_from([ExplicitVRLittleEndian, ExplicitVRBigEndian]),
    st.binary(min_size=32, max_size=32),
)
def test_plain_values_are_pydicoms(allocated, stored_bits, signed, syntax, content):
    stored_bits = min(stored_bits, allocated)
    count = len(content) * 8 // allocated
    layout = Layout(
        rows=2,
        columns=count // 2,
        frames=1,
        bits_allocated=allocated,
        bits_stored=stored_bits,
        signed=signed,
        photometric="MONOCHROME2",
        syntax=syntax,
        pixels_at=0,
        body_at=None,
        offsets=None,
    )
    expected, _ = get_decoder(syntax).as_array(
        content,
        raw=True,
        pixel_keyword="PixelData",
        pixel_vr="OB" if allocated == 8 else "OW",
        number_of_frames=1,
        rows=2,
        columns=count // 2,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=allocated,
        bits_stored=stored_bits,
        pixel_representation=int(signed),
    )
    np.testing.assert_array_equal(used_bits(stored_pixels(content, layout), layout), expected)


def test_a_frame_of_the_wrong_length_is_refused(tmp_path):
    (header,) = scan([write_ct(tmp_path / "a")]).slices
    with pytest.raises(RefusalError, match="cannot be decoded"):
        stored_pixels(bytes(510), header.layout)
