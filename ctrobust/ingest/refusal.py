"""Why a file is not taken: a reason that may be published, and a detail that stays on the terminal."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

LONGEST_DETAIL = 200


class RefusalError(Exception):
    """One file is not taken.

    reason: our own words, written beside the store; never holds anything found in the file or in its name.
    detail: what the file or a library said, on one line; for the terminal and the log alone, since a parser's
    complaint quotes what it stumbled over, and that may be a name.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = printable(" ".join(detail.split()))[:LONGEST_DETAIL]


@dataclass(frozen=True)
class Refused:
    """A file that was not taken; `sha256` is None where its bytes could not be read."""

    path: Path
    sha256: str | None
    reason: str
    detail: str = ""


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `RefusalError`: one bad file must not stop the others.

    The operating system's own words come without the path it would add; warnings of the parser are dropped,
    they are about files that are taken all the same.
    """
    with _SILENCE:
        try:
            yield
        except RefusalError:
            raise
        except OSError as error:
            if error.strerror is None:
                raise RefusalError(reason, f"{type(error).__name__}: {error}") from error
            raise RefusalError("cannot be read", error.strerror) from error
        except Exception as error:
            raise RefusalError(reason, f"{type(error).__name__}: {error}") from error


class _Silence:
    """No warnings while anybody is inside: `catch_warnings` alone would put back, in one thread, what another set."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_SILENCE = _Silence()


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes written as escapes, fit for any terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
