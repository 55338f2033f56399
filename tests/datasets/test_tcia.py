"""A TCIA download: the tree of LDCT-and-Projection-data; its images are ingested, its projections refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from ctrobust_datasets.__main__ import main
from dicom_files import ct, save, write_ct

from ctrobust.cli.main import main as ingest
from ctrobust.core.files import sha256_of
from ctrobust.store import Store


def download(folder: Path) -> dict[str, np.ndarray]:
    """Two patients as the NBIA Data Retriever unpacks them; returns the stored pixels by patient."""
    root = folder / "manifest-1648648375084" / "LDCT-and-Projection-data"
    pixels = {}
    for number, patient in enumerate(("N024", "L033")):
        study = root / patient / "12-23-2021-NA-NA-13377" / "1.000000-Full Dose Images-01203"
        raw = root / patient / "08-23-2018-NA-NA-11492" / "1.000000-Full dose projections-77764"
        pixels[patient] = np.random.default_rng(number).integers(0, 3000, (3, 16, 16)).astype(np.uint16)
        for index, stored in enumerate(pixels[patient]):
            write_ct(
                study / f"1-{index + 1:02d}.dcm",
                stored,
                PatientID=patient,
                StudyInstanceUID=f"1.2.{number}",
                SeriesInstanceUID=f"1.2.{number}.1",
                ImagePositionPatient=[0, 0, 3 * index],
            )
            save(projection(patient), raw / f"1-{index + 1:05d}.dcm")
    (folder / "manifest-1648648375084" / "metadata.csv").write_text("Series UID,Collection\n")
    (root / "LICENSE").write_text("terms\n")
    return pixels


def projection(patient: str):
    """DICOM-CT-PD as its readers use it: pixels with slope and intercept, geometry in private groups, no place."""
    dataset = ct(
        PatientID=patient,
        RescaleSlope=1e-4,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
    )
    for group, element, value in ((0x7031, 0x1001, 1.5), (0x7031, 0x1003, 595.0), (0x7029, 0x1002, 1.2858)):
        dataset.add_new((group, 0x0010), "LO", "DICOM-CT-PD")
        dataset.add_new((group, element), "FL", value)
    return dataset


def test_images_are_taken_and_projections_refused(tmp_path: Path) -> None:
    pixels = download(tmp_path / "tcia")
    assert ingest(["ingest", str(tmp_path / "tcia"), "--out", str(tmp_path / "store.h5")]) == 0
    account = json.loads((tmp_path / "store.ingest.json").read_text())
    taken, refused = ({entry["sha256"] for entry in account[kind]} for kind in ("taken", "refused"))
    digests = {path: sha256_of(path) for path in (tmp_path / "tcia").rglob("*") if path.is_file()}
    assert taken == {digest for path, digest in digests.items() if "Images" in path.parent.name}
    assert refused == set(digests.values()) - taken
    with Store(tmp_path / "store.h5") as store:
        assert len(set(store.patients)) == 2
        found = sorted(store.image(index).tobytes() for index in range(len(store)))
    expected = (stored.astype(np.float32) - 1024 for volume in pixels.values() for stored in volume)
    assert found == sorted(image.tobytes() for image in expected)


def test_the_command_line_says_who_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["tcia", str(tmp_path)])
    assert "ctrobust ingest" in capsys.readouterr().err
