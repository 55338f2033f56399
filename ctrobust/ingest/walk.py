"""Every file under the folders given, and in the archives there, none skipped in silence."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.ingest.archives import Shelf, Source, expand
from ctrobust.ingest.refusal import Refused


@dataclass(frozen=True)
class Found:
    """What lies under the folders: files to look into, and entries that are no files or cannot be reached.

    A member of an archive stands for itself; the archive is named only where it cannot be opened.
    """

    files: tuple[Source, ...]
    refused: tuple[Refused, ...]


def find_files(folders: Iterable[Path]) -> Found:
    """Regular files under the folders, at any depth, and in archives; overlapping folders give each file once.

    Raises UserError where a folder is missing, is no folder, or where there is nothing at all.
    """
    folders = list(folders)
    for folder in folders:
        _check(folder)
    shelf = Shelf()
    entries: list[Source | Refused] = []
    for entry in _walk(folders):
        entries.extend([entry] if isinstance(entry, Refused) else expand(entry, shelf))
    if not entries:
        raise UserError(f"{', '.join(map(str, folders))}: no files in there; name a folder that holds DICOM")
    return Found(
        tuple(entry for entry in entries if not isinstance(entry, Refused)),
        tuple(entry for entry in entries if isinstance(entry, Refused)),
    )


def _check(folder: Path) -> None:
    if not folder.exists():
        raise UserError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise UserError(
            f"{folder}: not a folder; name the folder that holds the DICOM files, or archives of them"
        )


def _walk(folders: Iterable[Path]) -> Iterator[Path | Refused]:
    """A stack, not recursion: folders can lie deeper than Python's. Each is walked once, by device and inode,
    so that links cannot lead round in circles.
    """
    seen: set[tuple[int, int]] = set()
    waiting = list(folders)[::-1]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            entries = sorted(folder.iterdir())
        except OSError as error:
            yield Refused(folder, None, "folder cannot be read", error.strerror or "")
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        inner: list[Path] = []
        yield from _sort_out(entries, inner)
        waiting.extend(reversed(inner))


def _sort_out(entries: Iterable[Path], inner: list[Path]) -> Iterator[Path | Refused]:
    """The files among the entries; folders go to `inner`."""
    for entry in entries:
        try:
            mode = os.stat(entry).st_mode  # noqa: PTH116 - follows links; a broken one raises
        except OSError as error:
            yield Refused(entry, None, "cannot be read", error.strerror or "")
            continue
        if stat.S_ISDIR(mode):
            inner.append(entry)
        elif stat.S_ISREG(mode):
            yield entry
        else:
            # Opening a pipe would wait for ever.
            yield Refused(entry, None, "not a regular file")
