"""Files that are either as before or complete: write beside, sync, rename."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to in the same folder; it takes the place of `path` only once complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_orphans(path)
    owner = f"{os.getpid()}@{socket.gethostname()}"
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.{owner}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _sync(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Make the folder and try a file in it, before hours of work; raises OSError where that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _clear_orphans(path: Path) -> None:
    """Remove what processes of this machine that were killed had begun to write in place of `path`."""
    start, end = f".{path.name}.", ".part"
    for part in path.parent.iterdir():
        if not (part.name.startswith(start) and part.name.endswith(end)):
            continue
        process, at, rest = part.name[len(start) :].partition("@")
        here = rest.startswith(f"{socket.gethostname()}.")
        if at and here and process.isdigit() and not _alive(int(process)):
            part.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
