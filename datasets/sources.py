"""The user's files, each taken whole or refused whole with its reason; none is passed over in silence."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.ingest.refusal import RefusalError, Refused, printable, refusing

Content = TypeVar("Content")

Refuse = Callable[[Refused], None]
"""What a reader does with a file that it does not take: it calls this and goes on."""


def tell(refused: Refused) -> None:
    """One line on stderr: what the readers do unless given a list's `append` or something sterner."""
    say(f"refused {account_of(refused)}")


def account_of(refused: Refused) -> str:
    """`path: reason (detail)`, fit for any terminal."""
    detail = f" ({refused.detail})" if refused.detail else ""
    return f"{printable(str(refused.path))}: {refused.reason}{detail}"


def attempt(read: Callable[[Path], Content], path: Path, refuse: Refuse) -> Content | None:
    """What `read` makes of a file; where it cannot, the file is refused and None returned."""
    try:
        with refusing("damaged file"):
            return read(path)
    except RefusalError as refusal:
        refuse(Refused(path=path, sha256=None, reason=refusal.reason, detail=refusal.detail))
        return None


def files_below(folder: Path, endings: tuple[str, ...], kind: str, refuse: Refuse) -> list[Path]:
    """Files of a folder, at any depth, whose names end so, in natural order; all others are refused as not `kind`.

    Raises UserError where the folder is missing, is none, or where there is no such file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds the {kind} files")
    found = []
    for path in sorted(_walk(folder, refuse), key=natural):
        if path.name.lower().endswith(endings):
            found.append(path)
        else:
            refuse(Refused(path=path, sha256=None, reason=f"not a {kind} file ({', '.join(endings)})"))
    if not found:
        raise UserError(
            f"{folder}: no {kind} file ({', '.join(endings)}) in there; name the folder of the data"
        )
    return found


def natural(path: Path) -> tuple[tuple[tuple[int, str], ...], ...]:
    """A sort key by which slice-2 comes before slice-10."""
    return tuple(tuple(_pieces(part)) for part in path.parts)


def _pieces(name: str) -> Iterator[tuple[int, str]]:
    digits = ""
    for letter in name:
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            yield int(digits), digits
        digits = ""
        yield -1, letter
    if digits:
        yield int(digits), digits


def _walk(folder: Path, refuse: Refuse) -> Iterator[Path]:
    """Links are followed, each folder once, so that they cannot lead round in circles."""

    def unreadable(error: OSError) -> None:
        refuse(Refused(Path(error.filename), None, "folder cannot be read", error.strerror or ""))

    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in files:
            path = Path(root) / name
            if path.is_file():
                yield path
            else:
                # Opening a pipe would wait for ever.
                refuse(Refused(path, None, "not a regular file"))
