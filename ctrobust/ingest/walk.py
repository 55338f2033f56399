"""Every file under the folders given, none skipped in silence."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.ingest.refusal import Refused


@dataclass(frozen=True)
class Found:
    """What lies under the folders: files to look into, and entries that are no files or cannot be reached."""

    files: tuple[Path, ...]
    refused: tuple[Refused, ...]


def find_files(folders: Iterable[Path]) -> Found:
    """Regular files under the folders, at any depth; overlapping folders give each file once.

    Raises UserError where a folder is missing, is no folder, or where there is no file at all.
    """
    folders = list(folders)
    for folder in folders:
        _check(folder)
    entries = list(_walk(folders, set()))
    files = tuple(entry for entry in entries if isinstance(entry, Path))
    if not files:
        raise UserError(f"{', '.join(map(str, folders))}: no files in there; name a folder that holds DICOM")
    return Found(files, tuple(entry for entry in entries if isinstance(entry, Refused)))


def _check(folder: Path) -> None:
    if not folder.exists():
        raise UserError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; name the folder that holds the DICOM files")


def _walk(folders: Iterable[Path], seen: set[tuple[int, int]]) -> Iterator[Path | Refused]:
    """`seen`: device and inode of the folders walked, so that links cannot lead round in circles."""
    for folder in folders:
        try:
            status = folder.stat()
            entries = sorted(folder.iterdir())
        except OSError as error:
            yield Refused(folder, None, "folder cannot be read", error.strerror or "")
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        yield from _sort_out(entries, seen)


def _sort_out(entries: Iterable[Path], seen: set[tuple[int, int]]) -> Iterator[Path | Refused]:
    for entry in entries:
        try:
            mode = os.stat(entry).st_mode  # noqa: PTH116 - follows links; a broken one raises
        except OSError as error:
            yield Refused(entry, None, "cannot be read", error.strerror or "")
            continue
        if stat.S_ISDIR(mode):
            yield from _walk([entry], seen)
        elif stat.S_ISREG(mode):
            yield entry
        else:
            # Opening a pipe would wait for ever.
            yield Refused(entry, None, "not a regular file")
