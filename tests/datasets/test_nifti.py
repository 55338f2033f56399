"""NIfTI: every orientation comes out as a viewer shows it, at the place and size that the affine says."""

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from ctrobust_datasets import nifti
from dicom_files import write_ct

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.ingest import Pseudonyms
from ctrobust.ingest.refusal import Refused
from ctrobust.store import Store

KEY = Pseudonyms(b"k" * 32)
SHAPE = (4, 5, 6)
STEPS_MM = (0.5, 0.75, 2.0)
"""To the right, to the front, to the head."""

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*order)
]


def place(orientation: str) -> np.ndarray:
    """The affine whose axes run that way, anisotropic by the body's axes, its origin off the centre."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(orientation):
        world = next(i for i, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        affine[world, axis] = STEPS_MM[world] * (1 if letter in "RAS" else -1)
    affine[:3, 3] = (-10, 20, 30)
    return affine


def hu_at(world: np.ndarray) -> np.ndarray:
    """HU by place alone: whole numbers, different wherever two voxels differ, some of them air."""
    right, front, head = (np.rint(4 * world[..., axis]) for axis in range(3))
    return -1080 + right + 10 * (front - 50) + 3 * (head - 100)


def volume(orientation: str) -> tuple[np.ndarray, np.ndarray]:
    affine = place(orientation)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return hu_at(index @ affine[:3, :3].T + affine[:3, 3]), affine


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(values.astype(np.float32) if values.dtype == np.float64 else values, affine)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def read(folder: Path, **options: object) -> tuple[list, list[Refused]]:
    refused: list[Refused] = []
    return list(nifti.records(folder, pseudonyms=KEY, refuse=refused.append, **options)), refused


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_row_0_is_the_front_and_column_0_the_right_of_the_patient(tmp_path: Path, orientation: str) -> None:
    values, affine = volume(orientation)
    write(tmp_path / "case.nii.gz", values, affine)
    corners = (
        affine[:3, :3] @ (np.array(list(itertools.product(*((0, n - 1) for n in SHAPE))))).T + affine[:3, 3:]
    )
    (right, front), feet = corners[:2].max(1), corners[2].min()
    slices, refused = read(tmp_path)
    assert not refused
    for number, record in enumerate(slices):
        rows, columns = np.mgrid[: record.image_hu.shape[0], : record.image_hu.shape[1]]
        head = np.full(rows.shape, feet + number * STEPS_MM[2])
        seen = np.stack([right - columns * STEPS_MM[0], front - rows * STEPS_MM[1], head], -1)
        assert np.array_equal(record.image_hu, hu_at(seen).astype(np.float32))
        assert record.pixel_mm == pytest.approx((STEPS_MM[1], STEPS_MM[0]))
        assert record.position_mm == pytest.approx(feet + number * STEPS_MM[2])


def test_a_dicom_series_and_its_nifti_give_the_same_slices(tmp_path: Path) -> None:
    """Tilted by 20 degrees about the patient's left-right axis, as a gantry is, and written by DICOM's own rules."""
    angle = np.radians(20)
    to_column, to_row = np.array([1, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.cross(to_column, to_row)
    stored = np.random.default_rng(0).integers(-1024, 2000, (3, 16, 16)).astype(np.int16)
    first, step = np.array([-100.0, -80, 40]), 2.5 * normal
    for number, pixels in enumerate(stored):
        write_ct(
            tmp_path / "dicom" / f"{number}",
            pixels,
            RescaleIntercept=0,
            PixelSpacing=[0.5, 0.75],
            ImageOrientationPatient=[*to_column, *np.round(to_row, 12)],
            ImagePositionPatient=list(np.round(first + number * step, 9)),
        )
    # NIfTI's x and y run the other way than DICOM's.
    affine = np.eye(4)
    affine[:3] = np.stack([to_column * 0.75, to_row * 0.5, step, first], 1) * np.array([[-1], [-1], [1]])
    write(tmp_path / "nifti" / "case.nii", stored.transpose(2, 1, 0), affine)
    assert main(["ingest", str(tmp_path / "dicom"), "--out", str(tmp_path / "store.h5")]) == 0
    from_nifti, refused = read(tmp_path / "nifti")
    assert not refused
    with Store(tmp_path / "store.h5") as store:
        assert len(store) == len(from_nifti) == 3
        for index, record in enumerate(from_nifti):
            assert np.array_equal(store.image(index), record.image_hu)
            assert tuple(store.pixel_mm[index]) == pytest.approx(record.pixel_mm)
            assert store.position_mm[index] == pytest.approx(record.position_mm, abs=1e-4)


def test_slope_and_intercept_are_applied_in_float64(tmp_path: Path) -> None:
    stored = np.arange(120, dtype=np.int16).reshape(SHAPE)
    image = nibabel.Nifti1Image(stored, np.diag([1, 1, 1, 1]))
    image.header.set_slope_inter(0.1, -1000.3)
    path = tmp_path / "case.nii"
    nibabel.save(image, path)
    # nibabel does not keep the slope it was given: put both in their places of the header.
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.1, -1000.3], "<f4").tobytes()
    content[352:] = stored.astype("<i2").tobytes(order="F")
    path.write_bytes(content)
    slices, _ = read(tmp_path)
    expected = stored * float(np.float32(0.1)) + float(np.float32(-1000.3))
    image_hu = np.stack([record.image_hu for record in slices])
    assert np.array_equal(image_hu, expected[::-1, ::-1].transpose(2, 1, 0).astype(np.float32))


def test_metres_are_metres_and_below_1024_is_padding(tmp_path: Path) -> None:
    values, affine = volume("RAS")
    values[0, 0, 0] = -3024
    image = nibabel.Nifti1Image(values.astype(np.float32), affine @ np.diag([1e-3, 1e-3, 1e-3, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "case.nii")
    slices, _ = read(tmp_path)
    assert slices[0].pixel_mm == pytest.approx((0.75, 0.5))
    assert slices[0].image_hu[-1, -1] == -1024


def test_a_folder_is_a_patient_a_loose_file_is_one_and_names_do_not_show(tmp_path: Path) -> None:
    for name in ("Doe/first.nii", "Doe/second.nii.gz", "a.nii", "b.nii"):
        write(tmp_path / name, volume("RAS")[0] + len(name) + ord(name[0]), volume("RAS")[1])
    slices, _ = read(tmp_path)
    assert len({record.patient for record in slices}) == 3
    assert len({record.series for record in slices}) == 4
    assert not any("Doe" in text for record in slices for text in (record.patient, record.series))
    again, _ = read(tmp_path)
    assert [record.patient for record in again] == [record.patient for record in slices]


def test_a_table_says_whose_files_they_are(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii", "sub/c.nii"):
        write(tmp_path / "data" / name, volume("RAS")[0] - len(name) - ord(name[0]), volume("RAS")[1])
    table = tmp_path / "whose.csv"
    table.write_text("file,patient\na.nii,one\nb.nii,two\nsub/c.nii,one\n")
    slices, _ = read(tmp_path / "data", table=table)
    a, b, c = (slices[SHAPE[2] * i].patient for i in range(3))
    assert a == c != b
    for content, match in {
        "file,patient\na.nii,one\n": "b.nii",
        "file,patient\na.nii,one\nb.nii,two\nsub/c.nii,one\nd.nii,one\n": "d.nii",
        "file,patient\na.nii,one\na.nii,two\n": "another patient",
        "file,patient\na.nii,\n": "line 2",
        "file,who\na.nii,one\n": "give file and patient",
    }.items():
        table.write_text(content)
        with pytest.raises(UserError, match=match):
            read(tmp_path / "data", table=table)


# A third of a half turn about the diagonal: every axis 48 degrees from where it was.
OBLIQUE = np.array([[2, -1, 2, 0], [2, 2, -1, 0], [-1, 2, 2, 0], [0, 0, 0, 3]]) / 3


def malformed() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    values, affine = volume("RAS")
    bent = affine.copy()
    bent[0, 1] = 0.3
    nan = values.copy()
    nan[1, 1, 1] = np.nan
    return {
        "not square": (values, bent),
        "no axial": (values, OBLIQUE),
        "three dimensions": (np.stack([values, values], -1), affine),
        "NaN": (nan, affine),
        "a mask": (np.ones(SHAPE, np.uint8), affine),
        "colours": (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), affine),
    }


@pytest.mark.parametrize("reason", malformed())
def test_what_does_not_fit_is_refused_with_the_reason(tmp_path: Path, reason: str) -> None:
    write(tmp_path / "bad.nii", *malformed()[reason])
    write(tmp_path / "good.nii", *volume("LAS"))
    slices, refused = read(tmp_path)
    assert len(slices) == SHAPE[2]
    assert [(entry.path.name, reason in entry.reason) for entry in refused] == [("bad.nii", True)]


def test_a_volume_that_does_not_say_which_side_is_left_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "case.nii", *volume("RAS"))
    content = bytearray(path.read_bytes())
    content[252:256] = bytes(4)  # qform_code and sform_code; nibabel itself would set them again
    path.write_bytes(content)
    slices, refused = read(tmp_path)
    assert not slices
    assert "neither sform nor qform" in refused[0].reason


def test_a_mask_is_taken_when_told_so(tmp_path: Path) -> None:
    write(tmp_path / "mask.nii", np.ones(SHAPE, np.uint8), place("RAS"))
    assert len(read(tmp_path, air=False)[0]) == SHAPE[2]


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "lying"])
def test_damaged_files_are_refused(tmp_path: Path, how: str) -> None:
    path = write(tmp_path / "case.nii.gz", *volume("RAS"))
    content = bytearray(gzip.decompress(path.read_bytes()))
    if how == "lying":
        content[42:48] = np.array([32000, 32000, 3000], "<i2").tobytes()
    packed = gzip.compress(bytes(content))
    if how == "cut":
        packed = packed[: len(packed) // 2]
    if how == "flipped":
        packed = packed[:60] + bytes([packed[60] ^ 255]) + packed[61:]
    path.write_bytes(b"" if how == "empty" else packed)
    slices, refused = read(tmp_path)
    assert not slices
    assert [entry.reason for entry in refused] == ["damaged file"]
    assert ("promises more" in refused[0].detail) == (how == "lying")


def test_other_files_and_copies_are_accounted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", *volume("RAS"))
    (tmp_path / "b.nii").write_bytes(path.read_bytes())
    (tmp_path / "case.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path)
    slices, refused = read(tmp_path)
    assert len(slices) == SHAPE[2]
    assert {entry.path.name for entry in refused} == {"b.nii", "case.json"}
