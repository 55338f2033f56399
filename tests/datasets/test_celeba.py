"""CelebA: the published layout and parts; each face cropped, shrunk by area and read only when asked for."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ctrobust_datasets.celeba import Pictures, faces
from PIL import Image

from ctrobust.core.errors import UserError

PARTS = (0, 0, 0, 1, 2, 2)


def picture(seed: int) -> np.ndarray:
    """218 × 178 with gentle slopes, so that JPEG keeps it within a few levels."""
    row, column = np.mgrid[:218, :178]
    return np.stack([row * 0.9 + seed, column + seed * 2, (row + column) / 3 + seed * 3], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("celeba")
    (folder / "img_align_celeba").mkdir()
    lines = []
    for number, part in enumerate(PARTS, start=1):
        name = f"{number:06d}.jpg"
        Image.fromarray(picture(number)).save(folder / "img_align_celeba" / name, quality=95, subsampling=0)
        lines.append(f"{name} {part}\n")
    (folder / "list_eval_partition.txt").write_text("".join(lines))
    return folder


def test_parts_are_those_of_the_list_in_its_order(folder: Path) -> None:
    assert [len(faces(folder, part)) for part in ("train", "val", "test")] == [3, 1, 2]
    assert [path.name for path in faces(folder, "test").paths] == ["000005.jpg", "000006.jpg"]


def test_the_central_square_is_averaged_by_area(folder: Path) -> None:
    face = faces(folder, "train", size=89)[1]
    with Image.open(folder / "img_align_celeba" / "000002.jpg") as file:
        square = np.asarray(file)[20:198].astype(np.float64)
    expected = square.reshape(89, 2, 89, 2, 3).mean((1, 3)).transpose(2, 0, 1) / 255
    assert face.dtype == np.float32
    assert np.abs(face - expected).max() < 1e-6


def test_a_face_is_three_channels_of_64_in_0_to_1_with_the_mean_kept(folder: Path) -> None:
    face = faces(folder, "val")[0]
    assert face.shape == (3, 64, 64)
    assert 0 <= face.min() < face.max() <= 1
    assert face.mean((1, 2)) == pytest.approx(picture(4)[20:198].mean((0, 1)) / 255, abs=0.01)


def test_it_is_a_sequence_that_reads_late(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    train = faces(tmp_path / "copy", "train")
    (tmp_path / "copy" / "img_align_celeba" / "000003.jpg").write_bytes(b"no picture")
    assert np.array_equal(train[0:2][1], train[1])
    assert np.array_equal(train[-3], train[0])
    with pytest.raises(UserError, match=r"000003\.jpg"):
        _ = train[2]
    with pytest.raises(IndexError):
        _ = train[3]


def test_other_places_of_the_same_files(folder: Path, tmp_path: Path) -> None:
    """As on the authors' drive, and as Kaggle unpacks it."""
    drive, kaggle = tmp_path / "drive", tmp_path / "kaggle"
    shutil.copytree(folder / "img_align_celeba", drive / "Img" / "img_align_celeba")
    (drive / "Eval").mkdir()
    shutil.copy(folder / "list_eval_partition.txt", drive / "Eval")
    shutil.copytree(folder / "img_align_celeba", kaggle / "img_align_celeba" / "img_align_celeba")
    table = (folder / "list_eval_partition.txt").read_text().replace(" ", ",")
    (kaggle / "list_eval_partition.csv").write_text("image_id,partition\n" + table)
    for other in (drive, kaggle):
        assert np.array_equal(faces(other, "val")[0], faces(folder, "val")[0])


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("000001.jpg 3\n", "line 1"),
        ("000001.jpg 0\n../000002.jpg 0\n", "line 2"),
        ("000001.jpg 0\n000001.jpg 1\n", "stands twice"),
        ("000001.jpg 0\n999999.jpg 0\n", "999999.jpg"),
        ("000001.jpg 1\n", "no face is in train"),
        ("é.jpg 0\n", "as text"),
    ],
)
def test_a_wrong_list_is_named(folder: Path, tmp_path: Path, table: str, match: str) -> None:
    shutil.copytree(folder / "img_align_celeba", tmp_path / "img_align_celeba")
    (tmp_path / "list_eval_partition.txt").write_text(table, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        faces(tmp_path, "train")


def test_missing_things_and_wrong_arguments(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="list_eval_partition"):
        faces(tmp_path, "train")
    shutil.copy(folder / "list_eval_partition.txt", tmp_path)
    with pytest.raises(UserError, match="unpack"):
        faces(tmp_path, "train")
    with pytest.raises(UserError, match="'valid'"):
        faces(folder, "valid")
    with pytest.raises(UserError, match="crop 32, size 64"):
        faces(folder, "train", crop=32)
    with pytest.raises(UserError, match="fewer than the crop of 200"):
        _ = faces(folder, "train", crop=200)[0]


def test_files_that_no_part_names_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    shutil.copy(
        folder / "img_align_celeba" / "000001.jpg", tmp_path / "copy" / "img_align_celeba" / "extra.jpg"
    )
    faces(tmp_path / "copy", "train")
    assert "1 files" in capsys.readouterr().err


def test_grey_pictures_are_no_faces_and_the_shared_ones_are(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    Image.fromarray(picture(0)[..., 0]).save(tmp_path / "grey.jpg")
    with pytest.raises(UserError, match="L rather than RGB"):
        _ = Pictures([tmp_path / "grey.jpg"])[0]
    synthetic = Pictures(sorted((shared("faces") / "crops128").glob("*.png")), crop=128)
    assert len(synthetic) == 32
    assert synthetic[31].shape == (3, 64, 64)
