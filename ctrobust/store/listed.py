"""A user's own list of what trains, selects and judges: CSV, one line a patient, a series or a slice."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.store.reader import Store

NAMES = ("patient", "series", "source_sha256")
PARTS = ("train", "val", "eval")


def divide_by_list(store: Store, path: Path) -> tuple[list[int], list[int], list[int]]:
    """(train, val, eval) as a CSV file says, with the columns `part` and one of patient, series, source_sha256.

    Slices that no line names are in no part. Raises UserError on a file that is not such a list, on a name that the
    store does not know or that stands twice in different parts, and where train or eval would be empty.
    """
    column, part_of = _read(path)
    names = {"patient": store.patients, "series": store.series, "source_sha256": store.source_sha256}[column]
    unknown = sorted(set(part_of) - set(names))
    if unknown:
        raise UserError(
            f"{path}: {column} {unknown[0]} is not in {store.path}; see `ctrobust info` for its names"
        )
    parts = {part: [i for i, name in enumerate(names) if part_of.get(name) == part] for part in PARTS}
    for part in ("train", "eval"):
        if not parts[part]:
            raise UserError(f"{path}: no slice is in {part}; name some")
    return parts["train"], parts["val"], parts["eval"]


def _read(path: Path) -> tuple[str, dict[str, str]]:
    """Which column names the slices, and the part of each name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            column = _column(path, reader.fieldnames or ())
            rows = [(reader.line_num, row.get(column) or "", row.get("part") or "") for row in reader]
    except OSError as error:
        raise UserError(f"{path}: the list cannot be read ({error.strerror}); name a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file; give the columns part and patient") from error
    part_of: dict[str, str] = {}
    for line, name, part in ((line, name.strip(), part.strip()) for line, name, part in rows):
        if part not in PARTS:
            raise UserError(f"{path}, line {line}: part {part!r}: give one of {', '.join(PARTS)}")
        if part_of.setdefault(name, part) != part:
            raise UserError(
                f"{path}, line {line}: {column} {name} is in {part_of[name]} already; give it one part"
            )
    return column, part_of


def _column(path: Path, header: Sequence[str]) -> str:
    columns = [name for name in NAMES if name in header]
    if len(columns) != 1 or "part" not in header:
        raise UserError(f"{path}: give a CSV file with the columns part and one of {', '.join(NAMES)}")
    return columns[0]
