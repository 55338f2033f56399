"""`ctrobust reconstruct` as its user meets it: from DICOM or sinograms to a series for any viewer."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from dicom_files import ct, enhanced_ct, save, write_ct
from pydicom import config, dcmread
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_modality_lut
from torch import nn

from ctrobust.cli.main import main
from ctrobust.experiment import open_experiment
from ctrobust.ingest import Pseudonyms
from ctrobust.recipes import load_recipe, read_recipe, write_recipe
from ctrobust.reconstruct import LearnedReconstructor, load
from ctrobust.reconstruction import Run, open_run
from ctrobust.resimulation import reconstruct_folder
from ctrobust.store import Store
from ctrobust.train.run import train_run
from ctrobust.train.running import make_fabric

SIZE, PIXEL_MM = (40, 48), (3.0, 2.5)
OBLIQUE = np.round(np.linalg.qr([[0.96, -0.2, 0.3], [0.2, 0.97, 0.3], [0.1, 0.1, 0.9]])[0], 9)
"""Columns: along a row, along a column, across; a tilted and turned patient."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe, barely trained, with noise; its batches of 2 do not divide the slices below."""
    folder = tmp_path_factory.mktemp("run")
    for number in range(6):
        noise = np.random.default_rng(number).integers(-9, 9, SIZE).astype(np.int16)
        write_ct(folder / "dicom" / str(number), rod() + noise, PatientID=str(number))
    assert main(["ingest", str(folder / "dicom"), "--out", str(folder / "store.h5")]) == 0
    quick = ["train.steps=2", "evaluate.batch_size=2", "scan.photons=1e5", "scan.pixel_mm=4.1"]
    experiment = open_experiment(load_recipe("tiny", [*quick, f"data.store={folder / 'store.h5'}"]))
    out = folder / "run"
    out.mkdir()
    write_recipe(experiment.recipe, out / "recipe.yaml")
    train_run(experiment, make_fabric("fp32"), out)
    return out


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that DICOM does not allow raise, when written and when read."""
    monkeypatch.setattr(config.settings, "_writing_validation_mode", config.RAISE)
    monkeypatch.setattr(config.settings, "_reading_validation_mode", config.RAISE)


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """One patient's 5 oblique slices of 40×48 pixels with a bright rod, and files that are none."""
    for number in range(5):
        corner = np.array([-30.0, 12.0, 100.0]) + 4.0 * number * np.cross(*OBLIQUE[:, :2].T)
        write_ct(
            tmp_path / "hospital" / f"{number}.dcm",
            rod(),
            PixelSpacing=list(PIXEL_MM),
            ImageOrientationPatient=OBLIQUE[:, :2].T.ravel().tolist(),
            ImagePositionPatient=np.round(corner, 6).tolist(),
            StudyInstanceUID="1.2.777.1",
            SeriesInstanceUID="1.2.777.2",
            FrameOfReferenceUID="1.2.777.3",
            PatientID="K-7771",
            PatientName="Musterfrau^Erika",
            PatientBirthDate="19710203",
            StudyDate="19990203",
            AccessionNumber="A7771",
            InstitutionName="Klinikum Musterfrau",
            PatientPosition="FFS",
            SliceThickness="4",
        )
    (tmp_path / "hospital" / "notes.txt").write_text("not an image")
    write_ct(tmp_path / "hospital" / "mr.dcm", Modality="MR")
    return tmp_path / "hospital"


def rod() -> np.ndarray:
    """Soft tissue in air, with 3×3 bright pixels about (12, 33)."""
    stored = np.full(SIZE, 24, np.int16)
    stored[:4] = 0  # padding, below air
    stored[6:34, 8:42] = 1024
    stored[11:14, 32:35] = 3500
    return stored


def save_frames(path: Path) -> None:
    """Two slices in one file, the upper one first."""
    shared = {
        "PixelMeasures": {"PixelSpacing": [3.0, 2.5]},
        "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelValueTransformation": {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"},
    }
    frames = [{"PlanePosition": {"ImagePositionPatient": [0, 0, z]}} for z in (4, 0)]
    save(enhanced_ct(np.stack([rod(), rod()]), frames, shared), path)


def images_in(out: Path) -> list[FileDataset]:
    return [dcmread(path) for path in sorted(out.glob("*/*.dcm"))]


def hu_of(image: FileDataset) -> np.ndarray:
    return apply_modality_lut(image.pixel_array, image)


def place(image: FileDataset, row: float, column: float) -> np.ndarray:
    """The point of the patient, by the standard's own matrix (PS3.3 C.7.6.2.1.1)."""
    along_row, along_column = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
    row_mm, column_mm = map(float, image.PixelSpacing)
    corner = np.array(image.ImagePositionPatient, float)
    return corner + along_row * column_mm * column + along_column * row_mm * row


def test_the_same_as_the_runs_own_evaluation_sees(run: Path, hospital: Path, tmp_path: Path, capsys) -> None:
    """x̂ = f(A x + noise) of these very slices by way of a store: the same grid, the same noise, the same names."""
    assert main(["ingest", str(hospital), "--out", str(tmp_path / "store.h5")]) == 0
    split = [
        "split",
        str(tmp_path / "store.h5"),
        "--by",
        "slice",
        "--eval",
        "0.4",
        "--out",
        str(tmp_path / "s"),
    ]
    assert main(split) == 0
    capsys.readouterr()
    assert main(["reconstruct", str(run), str(hospital), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    recipe = read_recipe(run / "recipe.yaml")
    recipe = replace(recipe, data=replace(recipe.data, store=str(tmp_path / "store.h5")))
    f, experiment = load(run), open_experiment(recipe, split=tmp_path / "s")
    with torch.no_grad():
        hu = 1000 * (f(experiment.pair(range(5))[0])[:, 0].numpy() - 1)
    with Store(tmp_path / "store.h5") as known:
        (series,), (patient,) = set(known.series), set(known.patients)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [series, f"{series}.npy"]
    np.testing.assert_allclose(np.load(tmp_path / "out" / f"{series}.npy"), hu, atol=0.01)
    images = images_in(tmp_path / "out")
    assert len(images) == 5
    for image, own in zip(images, np.load(tmp_path / "out" / f"{series}.npy"), strict=True):
        assert np.abs(hu_of(image) - own).max() <= 0.5
        assert image.PatientID == patient
    assert said.out.splitlines()[1].split() == [patient, series, "5"]
    assert "refused, not CT but magnetic resonance: 1" in said.out
    assert "refused, not DICOM: 1" in said.out
    assert "notes.txt" in said.out
    assert "5 slices in 1 series, not for clinical use" in said.out
    assert "slices: 5/5" in said.err


def test_a_known_point_is_where_it_was(run: Path, hospital: Path, tmp_path: Path) -> None:
    """The rod's centre in the patient's axes, before and after, under FBP: to within half a pixel of the run's."""
    opened = open_run(run)
    fbp = Run(LearnedReconstructor(opened.f.projector, nn.Identity()), opened.recipe)
    reconstruct_folder(fbp, hospital, tmp_path / "out", pseudonyms=Pseudonyms(bytes(32)))
    before = [dcmread(path) for path in sorted(hospital.glob("?.dcm"))]
    after = images_in(tmp_path / "out")
    assert len(after) == len(before) == 5
    for source, image in zip(before, after, strict=True):
        assert (image.Rows, image.Columns) == (32, 32)
        assert list(image.PixelSpacing) == [4.1, 4.1]
        known = place(source, 12, 33)
        bright = np.argwhere(hu_of(image) > 1000)
        assert len(bright)
        off = place(image, *bright.mean(axis=0)) - known
        assert np.linalg.norm(off) < 4.1 / 2
        across = np.cross(*np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3)))
        assert abs(off @ across) < 1e-4
        # Exact: the centre of the field of view stays.
        np.testing.assert_allclose(place(image, 15.5, 15.5), place(source, 19.5, 23.5), atol=1e-5)


def test_a_pseudonym_and_nothing_of_the_person(run: Path, hospital: Path, tmp_path: Path, capsys) -> None:
    assert main(["reconstruct", str(run), str(hospital), "--out", str(tmp_path / "out")]) == 0
    kinds = set()
    for path in (tmp_path / "out").rglob("*"):
        content = str(path.relative_to(tmp_path)).encode() + (path.read_bytes() if path.is_file() else b"")
        for planted in (
            b"Musterfrau",
            b"Erika",
            b"K-7771",
            b"A7771",
            b"19710203",
            b"19990203",
            b"1.2.777",
            b"Klinikum",
        ):
            assert planted not in content
        kinds.add(path.suffix)
    assert kinds == {"", ".dcm", ".npy"}
    for image in images_in(tmp_path / "out"):
        assert image.PatientIdentityRemoved == "YES"
        assert (image.PatientPosition, image.SliceThickness) == ("FFS", 4)
        assert image.SeriesDescription == "ctrobust minmax, not for clinical use"


def test_keep_patient_goes_back_to_its_archive(run: Path, hospital: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out"), "--keep-patient"]
    assert main(["reconstruct", str(run), str(hospital), *out]) == 0
    images = images_in(tmp_path / "out")
    for image in images:
        assert (image.PatientID, image.PatientName) == ("K-7771", "Musterfrau^Erika")
        assert (image.PatientBirthDate, image.StudyDate, image.AccessionNumber) == (
            "19710203",
            "19990203",
            "A7771",
        )
        assert (image.StudyInstanceUID, image.FrameOfReferenceUID) == ("1.2.777.1", "1.2.777.3")
        assert image.SeriesInstanceUID.startswith("2.25.")
        assert image.SOPInstanceUID.startswith("2.25.")
        assert "PatientIdentityRemoved" not in image
        assert "InstitutionName" not in image
    assert len({image.SOPInstanceUID for image in images}) == 5
    assert "Musterfrau" not in " ".join(path.name for path in (tmp_path / "out").rglob("*"))


def test_again_is_the_same_and_another_key_is_not(run: Path, hospital: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["reconstruct", str(run), str(hospital), "--out", str(tmp_path / name)]) == 0
    (tmp_path / "key").write_bytes(bytes(range(32)))
    key = ["--key", str(tmp_path / "key")]
    assert main(["reconstruct", str(run), str(hospital), "--out", str(tmp_path / "three"), *key]) == 0
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).glob("*/*")}
        for name in ("one", "two")
    )
    assert one == two
    uids = [
        {
            (image.StudyInstanceUID, image.SeriesInstanceUID, image.PatientID)
            for image in images_in(tmp_path / name)
        }
        for name in ("one", "three")
    ]
    assert not set.union(*map(set, uids[0])) & set.union(*map(set, uids[1]))


@pytest.mark.parametrize("kind", ["y.npy", "y.h5"])
def test_a_bare_sinogram_has_the_runs_geometry_and_no_patient(
    run: Path, tmp_path: Path, kind, capsys
) -> None:
    f = load(run)
    y = f.projector(torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    if kind == "y.npy":
        np.save(tmp_path / kind, y[:, 0].numpy())
    else:
        with h5py.File(tmp_path / kind, "w") as file:
            file["sinogram"], file["other"] = y.double().numpy(), y.numpy()
    out = tmp_path / "out"
    assert main(["reconstruct", str(run), str(tmp_path / kind), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["sinogram", "sinogram.npy"]
    with torch.no_grad():
        hu = 1000 * (f(y)[:, 0].numpy() - 1)
    np.testing.assert_allclose(np.load(out / "sinogram.npy"), hu, atol=0.01)
    for index, image in enumerate(images_in(out)):
        assert np.abs(hu_of(image) - hu[index]).max() <= 0.51
        assert image.PatientID == image.PatientName == ""
        assert image.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
        assert list(image.PixelSpacing) == [4.1, 4.1]
        assert image.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        np.testing.assert_allclose(place(image, 15.5, 15.5), [0, 0, index], atol=1e-9)
        assert "as it was given" in image.DerivationDescription
        assert "1 mm apart" in image.ImageComments
    assert "5 slices in 1 series" in capsys.readouterr().out


def test_frames_of_one_file_have_noise_of_their_own(run: Path, tmp_path: Path) -> None:
    save_frames(tmp_path / "in" / "a")
    assert main(["reconstruct", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    low, high = images_in(tmp_path / "out")
    assert high.ImagePositionPatient[2] - low.ImagePositionPatient[2] == 4
    assert not np.array_equal(low.pixel_array, high.pixel_array)


def test_series_of_different_sizes_and_loss_are_taken_as_they_are(run: Path, tmp_path: Path, capsys) -> None:
    """Of one patient and study; the larger one is beyond the run's field of view of 131 mm."""
    folder = tmp_path / "in"
    write_ct(folder / "a", rod(), SeriesInstanceUID="1.2.1", PixelSpacing=[2, 2], LossyImageCompression="01")
    write_ct(folder / "b", np.pad(rod(), 9, mode="edge"), SeriesInstanceUID="1.2.2", PixelSpacing=[3, 3])
    assert main(["reconstruct", str(run), str(folder), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.count("1 of 1 slices are larger than the run's field of view") == 1
    images = images_in(tmp_path / "out")
    assert len({image.SeriesInstanceUID for image in images}) == 2
    assert (
        len({image.StudyInstanceUID for image in images}) == len({image.PatientID for image in images}) == 1
    )
    assert {image.SeriesNumber for image in images} == {9001, 9002}
    assert sorted(str(image.get("LossyImageCompression")) for image in images) == ["01", "None"]


def test_burned_in_annotation_may_be_a_name(run: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "in"
    write_ct(folder / "a", rod(), BurnedInAnnotation="YES")
    assert main(["reconstruct", str(run), str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "burned-in annotation" in said.err
    assert not (tmp_path / "out").exists()
    assert main(["reconstruct", str(run), str(folder), "--out", str(tmp_path / "out"), "--keep-patient"]) == 0
    assert [image.BurnedInAnnotation for image in images_in(tmp_path / "out")] == ["YES"]


def test_our_own_ingest_takes_it_for_what_it_is(run: Path, hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["reconstruct", str(run), str(hospital), "--out", str(out)]) == 0
    assert main(["ingest", str(out), "--out", str(tmp_path / "store.h5")]) == 0
    with Store(tmp_path / "store.h5") as known:
        (array,) = out.glob("*.npy")
        for index, hu in enumerate(np.maximum(np.load(array), -1024)):
            assert np.abs(known.image(index) - hu).max() <= 0.5
        np.testing.assert_allclose(known.pixel_mm, 4.1)
        np.testing.assert_allclose(np.diff(known.position_mm), 4, atol=1e-4)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is absent; Debian has it in dicom3tools")
@pytest.mark.parametrize("given", ["y.npy", "hospital", "hospital --keep-patient", "frames", "lossy"])
def test_dciodvfy_finds_no_error(run: Path, hospital: Path, tmp_path: Path, given: str) -> None:
    np.save(tmp_path / "y.npy", np.zeros(load(run).projector.sinogram_shape))
    save_frames(tmp_path / "frames" / "a")
    loss = {"LossyImageCompressionRatio": "10", "LossyImageCompressionMethod": "ISO_10918_1"}
    write_ct(tmp_path / "lossy" / "a", rod(), LossyImageCompression="01", **loss)
    name, *options = given.split()
    assert (
        main(["reconstruct", str(run), str(tmp_path / name), "--out", str(tmp_path / "out"), *options]) == 0
    )
    paths = list((tmp_path / "out").glob("*/*.dcm"))
    assert len(paths) == {"y.npy": 1, "hospital": 5, "frames": 2, "lossy": 1}[name]
    for path in paths:
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
        assert "CTImage" in said
        assert "Error" not in said, said


MISTAKES = {
    "run missing": (["nope", "in"], "nope"),
    "not a run": (["in", "in"], "recipe.yaml"),
    "several runs": (["several", "in"], "several/a, several/b"),
    "input missing": (["RUN", "nope.npy"], "nope.npy"),
    "not a sinogram": (["RUN", "in/notes.txt"], "notes.txt"),
    "one DICOM file": (["RUN", "in/mr.dcm"], "a folder of DICOM"),
    "wrong shape": (["RUN", "wrong.npy"], "(N, 12, 46)"),
    "wrong type": (["RUN", "complex.npy"], "complex64"),
    "NaN": (["RUN", "nan.npy"], "sinogram 1"),
    "f at its end": (["RUN", "huge.npy"], "mm of water"),
    "dataset of a folder": (["RUN", "in", "--dataset", "y"], "--dataset"),
    "dataset of an array": (["RUN", "nan.npy", "--dataset", "y"], "--dataset"),
    "patient of a sinogram": (["RUN", "nan.npy", "--keep-patient"], "--keep-patient"),
    "key for a sinogram": (["RUN", "nan.npy", "--key", "in/notes.txt"], "--key"),
    "no key": (["RUN", "in", "--key", "in/notes.txt"], "not a key"),
    "no slices": (["RUN", "in"], "nothing could be taken"),
    "no files": (["RUN", "empty"], "no files in there"),
    "out exists": (["RUN", "in", "--out", "in"], "exists already"),
    "out inside": (["RUN", "in", "--out", "in/out"], "inside"),
    "out cannot be made": (["RUN", "nan.npy", "--out", "in/notes.txt/out"], "notes.txt"),
    "out missing": (["RUN", "in", "--out"], "--out"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_line_exit_2_and_nothing_left(
    mistake: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = load(run).projector.sinogram_shape
    assert shape == (12, 46)
    write_ct(tmp_path / "in" / "mr.dcm", Modality="MR")
    (tmp_path / "in" / "notes.txt").write_text("not mine")
    y = np.zeros((3, *shape), np.float32)
    (tmp_path / "empty").mkdir()
    for name in ("a", "b"):
        (tmp_path / "several" / name).mkdir(parents=True)
        shutil.copy(run / "recipe.yaml", tmp_path / "several" / name)
    np.save("wrong.npy", y.T)
    np.save("complex.npy", y.astype(np.complex64))
    np.save("huge.npy", y + np.float32(1e38))
    y[1, 2, 3] = np.nan
    np.save("nan.npy", y)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    given, named = MISTAKES[mistake]
    arguments = [str(run) if argument == "RUN" else argument for argument in given]
    try:
        status = main(["reconstruct", *arguments, *([] if "--out" in arguments else ["--out", "out"])])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    noise = ("headers:", "slices:", "batches:")
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith(noise)]
    assert len(said) == 1, said
    assert named in said[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_stopped_half_way_nothing_is_left(
    run: Path, hospital: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def stop(self: FileDataset, *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pydicom.dataset.Dataset.save_as", stop)
    assert main(["reconstruct", str(run), str(hospital), "--out", str(tmp_path / "out")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["hospital"]


def test_a_source_that_changes_meanwhile_is_not_believed(
    run: Path, hospital: Path, tmp_path: Path, monkeypatch
) -> None:
    """Its pixels were of one file; its patient must not be of another."""
    import ctrobust.resimulation as module

    real = module.open_source

    def swapped(source: Path):
        save(ct(rod(), PatientID="someone else"), source)
        return real(source)

    monkeypatch.setattr(module, "open_source", swapped)
    opened = open_run(run)
    with pytest.raises(module.NothingReconstructedError, match="changed while it was being read"):
        reconstruct_folder(
            opened, hospital, tmp_path / "out", keep_patient=True, pseudonyms=Pseudonyms(bytes(32))
        )
