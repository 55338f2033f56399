"""A parcel: a run as it is handed over. Weights, recipe, result and card, in a folder or a .zip."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of

WEIGHTS, RECIPE, RESULT = "weights.safetensors", "recipe.yaml", "result.json"
SEALED = (WEIGHTS, RECIPE, RESULT)
CARD, SEAL = "README.md", "SHA256SUMS"
"""The card may be written on. The seal is what `sha256sum --check` reads."""


def is_parcel(folder: Path) -> bool:
    """Whether a folder is, or was, a parcel: one that lost a file is refused as such, not as a run."""
    return (folder / SEAL).exists() or (folder / WEIGHTS).exists()


def seal(folder: Path) -> None:
    """Write down the SHA-256 of all that must stay as it is."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in SEALED]
    (folder / SEAL).write_text("".join(lines))


def require_sealed(folder: Path) -> None:
    """Raises UserError where a file is missing or is not the one that was handed over."""
    for name in SEALED:
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: not found; ask for the whole of what was handed over")
        if sha256_of(path) != sealed(folder).get(name):
            raise UserError(
                f"{path}: changed since it was handed over, its SHA-256 is not the one in {SEAL}; copy it again"
            )


def sealed(folder: Path) -> dict[str, str]:
    """File name → SHA-256. Raises UserError where the seal is missing or broken."""
    path = folder / SEAL
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        return {name: digest for digest, name in rows}
    except (OSError, ValueError):
        raise UserError(
            f"{path}: missing or not a list of SHA-256; ask for the whole of what was handed over"
        ) from None


def pack(folder: Path, archive: Path) -> None:
    """The folder's files as a .zip, the same bytes whenever it is made."""
    # Not compressed: weights would become hardly smaller.
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(path.name)
            entry.external_attr = 0o644 << 16
            stream.writestr(entry, path.read_bytes())


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the folder of a zipped parcel, for as long as it is open; any other path as it is.

    Raises UserError on a .zip that is none. Nothing but a parcel's own files is taken out of it.
    """
    if path.suffix != ".zip" or not path.is_file():
        yield path
        return
    with TemporaryDirectory(prefix="ctrobust-") as scratch:
        folder = Path(scratch) / path.stem
        try:
            with zipfile.ZipFile(path) as archive:
                for name in (*SEALED, CARD, SEAL):
                    archive.extract(name, folder)
        except (KeyError, zipfile.BadZipFile) as mistake:
            why = str(mistake).strip("'\"")
            raise UserError(
                f"{path}: not written by `ctrobust export` ({why}); ask for it again, or unpack it and give the folder"
            ) from None
        yield folder
