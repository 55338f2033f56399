"""Progress to stderr: a bar on a terminal, sparse lines otherwise. stdout is kept for results."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 15.0


class Progress(Iterable[Item]):
    """Iterate over `items` and show how far it got; `note` adds figures such as the loss."""

    def __init__(
        self, items: Iterable[Item], label: str, *, total: int, start: int = 0, enabled: bool = True
    ) -> None:
        self._label, self._total, self._done = label, total, start
        self._enabled, self._terminal = enabled, sys.stderr.isatty()
        self._items = items
        hidden = not (enabled and self._terminal)
        self._bar = tqdm(desc=label, total=total, initial=start, disable=hidden)
        self._last_line = time.monotonic()
        self._figures = ""

    def __iter__(self) -> Iterator[Item]:
        try:
            for item in self._items:
                yield item
                self.advance()
        finally:
            self._bar.close()

    def advance(self) -> None:
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        finished = self._done == self._total
        if (
            self._enabled
            and not self._terminal
            and (finished or now - self._last_line > SECONDS_BETWEEN_LINES)
        ):
            self._last_line = now
            print(f"{self._label}: {self._done}/{self._total} {self._figures}".rstrip(), file=sys.stderr)

    def note(self, **figures: float) -> None:
        self._figures = " ".join(f"{name}={value:.4g}" for name, value in figures.items())
        self._bar.set_postfix_str(self._figures, refresh=False)


def say(message: str) -> None:
    """One line of news on stderr, above a bar where there is one."""
    tqdm.write(message, file=sys.stderr)
