"""Real scanners' files: every one accounted for, HU as pydicom computes them."""

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_rescale

from ctrobust.core.files import sha256_of
from ctrobust.ingest import Pseudonyms
from ctrobust.pipeline import ingest_to_store
from ctrobust.store import Store

PSEUDONYMS = Pseudonyms(bytes(32))


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "ct.h5"
    return ingest_to_store([shared("ct")], out, pseudonyms=PSEUDONYMS), Store(out)


def test_all_slices_of_all_patients(real):
    report, store = real
    assert (len(store), len(set(store.patients)), len(set(store.series))) == (92, 9, 15)
    assert {entry.reason for entry in report.refused} == {"not DICOM"}
    for series in set(store.series):
        positions = store.position_mm[[name == series for name in store.series]]
        assert (np.diff(positions) > 0).all()


def test_hu_inside_the_circle_and_padding_outside(real):
    """Every tenth slice against pydicom; the file is found again by its SHA-256, not by its place."""
    report, store = real
    for index in range(0, len(store), 10):
        entry = report.taken[index]
        assert sha256_of(entry.path) == store.source_sha256[index]
        dataset = pydicom.dcmread(entry.path)
        exact = apply_rescale(dataset.pixel_array, dataset)
        image_hu = store.image(index)
        rows, columns = np.indices(image_hu.shape) - 255.5
        radius = np.hypot(rows, columns)
        inside = (radius < 250) & (exact >= -1024)
        np.testing.assert_array_equal(image_hu[inside], exact[inside].astype(np.float32))
        assert (image_hu[exact < -1024] == -1024).all()
        assert image_hu.min() >= -1024
        np.testing.assert_array_equal(store.pixel_mm[index], dataset.PixelSpacing)


def test_patients_are_the_sources_patients(real):
    report, _ = real
    ids = {(str(pydicom.dcmread(e.path, stop_before_pixels=True).PatientID), e.patient) for e in report.taken}
    assert len(ids) == len({name for name, _ in ids}) == len({pseudonym for _, pseudonym in ids}) == 9


def test_awkward_files_are_all_accounted_for(shared, tmp_path):
    folder = shared("dicom")
    report = ingest_to_store([folder], tmp_path / "a.h5", pseudonyms=PSEUDONYMS)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert sorted(entry.path for entry in (*report.taken, *report.refused)) == files
    assert sum("philips" in str(entry.path) for entry in report.taken) == 12
