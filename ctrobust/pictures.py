"""Folders of pictures by their layout: each opened by its reader, as a `PictureStore` with the published parts."""

from collections.abc import Callable
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.store.pictures import Part, PictureStore

PARTS = {"train": "train", "val": "val", "eval": "test"}
"""Ours, and the published name of each."""


def open_pictures(layout: str, folder: Path, size: int) -> PictureStore:
    """The pictures of a folder, `size` pixels wide and high.

    layout  mnist    the IDX files of MNIST, or of what has its files; 28 × 28
            celeba   aligned faces and their list of parts; the middle of each shrunk to `size`
            patches  train/, val/ and test/ with photographs, each cut into patches of `size`
    Raises UserError where the folder is not laid out so, and where its pictures have another size.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; data.pictures is {layout}, so give the folder of its files"
        )
    store = LAYOUTS[layout](folder, size)
    if store.image_shape != (size, size):
        rows, columns = store.image_shape
        cure = f"give data.size={rows}" if rows == columns else "only square ones are taken"
        raise UserError(f"{folder}: pictures of {rows} × {columns}; {cure}")
    return store


def _mnist(folder: Path, size: int) -> PictureStore:
    from ctrobust_datasets.mnist import digits, image_files

    parts = {ours: digits(folder, published) for ours, published in PARTS.items()}
    return PictureStore(
        folder,
        {part: Part(list(pictures), _each(part, len(pictures))) for part, pictures in parts.items()},
        image_files(folder),
    )


def _celeba(folder: Path, size: int) -> PictureStore:
    from ctrobust_datasets.celeba import faces, list_file

    parts = {ours: faces(folder, published, size=size) for ours, published in PARTS.items()}
    files = [path for part in parts.values() for path in part.paths]
    return PictureStore(
        folder,
        {part: Part(pictures, _each(part, len(pictures))) for part, pictures in parts.items()},
        [list_file(folder), *files],
    )


def _patches(folder: Path, size: int) -> PictureStore:
    """Patches of one photograph are alike: it is what stands for a patient."""
    from ctrobust_datasets.patches import patches, photographs

    parts, files = {}, []
    for ours, published in PARTS.items():
        paths = photographs(folder, published)
        cut = [patches(path, size) for path in paths]
        owners = [f"{published} {number}" for number, own in enumerate(cut) for _ in own]
        parts[ours] = Part([patch for own in cut for patch in own], owners)
        files += paths
    return PictureStore(folder, parts, files)


def _each(part: str, count: int) -> list[str]:
    return [f"{PARTS[part]} {number}" for number in range(count)]


LAYOUTS: dict[str, Callable[[Path, int], PictureStore]] = {
    "mnist": _mnist,
    "celeba": _celeba,
    "patches": _patches,
}
