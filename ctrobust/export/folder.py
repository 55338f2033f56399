"""A folder that is either absent or complete."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write to, beside `path`; it becomes `path` only once all is written.

    What was written goes with any exception. Raises OSError where `path` is there and not empty, or cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        # Its own mode, by the user's umask: the scratch folder is for its owner alone.
        part = scratch / "complete"
        part.mkdir()
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
