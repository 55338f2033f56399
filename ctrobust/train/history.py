"""history.csv: one row per logged step; after a resume only rows up to the checkpoint are kept."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ctrobust.core.files import replacing

COLUMNS = (
    "step",
    "epoch",
    "seconds",
    "lr",
    "clean",
    "clean_eval",
    "adversarial",
    "delta_rel",
    "val_clean",
    "val_adversarial",
    "found",
    "found_1",
    "found_5",
    "found_20",
)


class History:
    """Appends rows to a CSV file, each on disk before the next step begins. further: columns beside our own."""

    def __init__(
        self, path: Path, *, keep_until: int, further: Sequence[str] = (), enabled: bool = True
    ) -> None:
        self._path, self._enabled = path, enabled
        self._columns = (*COLUMNS, *further)
        if not enabled:
            return
        kept = [row for row in _rows(path) if int(row["step"]) <= keep_until]
        with replacing(path) as part, part.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self._columns, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(kept)

    def add(self, **figures: float) -> None:
        """One row; a figure that a method does not have stays empty."""
        if not self._enabled:
            return
        row = {name: f"{value:.8g}" for name, value in figures.items()}
        with self._path.open("a", newline="") as stream:
            csv.DictWriter(stream, self._columns, restval="").writerow(row)


def _rows(path: Path) -> list[dict[str, str]]:
    """Complete rows only: a kill may have cut the last one."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if None not in row.values() and row["step"]]
