"""What became of every file of an ingest: for the terminal and the log by its path, beside the store by its hash."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Refused
from ctrobust.store import Store

REPORT_SCHEMA = 1


@dataclass(frozen=True)
class Taken:
    """A slice that went into the store, without its pixels; `path` is for the terminal and the log alone."""

    path: Path
    sha256: str
    patient: str
    series: str
    position_mm: float
    size: tuple[int, int]
    pixel_mm: tuple[float, float]


@dataclass(frozen=True)
class IngestReport:
    """Every file under the folders, once: taken, in the order of the store, refused, or there before.

    notes: by series, what a reader should know of its geometry, such as "2 gaps".
    """

    taken: tuple[Taken, ...]
    refused: tuple[Refused, ...]
    present: tuple[Path, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def taken_from(record: SliceRecord, path: Path) -> Taken:
    rows, columns = record.image_hu.shape
    return Taken(
        path,
        record.source_sha256,
        record.patient,
        record.series,
        record.position_mm,
        (rows, columns),
        record.pixel_mm,
    )


def report_path(store: Path) -> Path:
    """STORE.ingest.json for STORE.h5."""
    return store.with_name(f"{store.name.removesuffix('.h5')}.ingest.json")


def write_report(out: Path, refused: Iterable[Refused]) -> None:
    """Files by their SHA-256 alone: all slices of the store, and what this ingest and those before refused.

    The refused come in an order that says nothing about their names. Raises UserError where the disk refuses.
    """
    with Store(out) as store:
        columns = store.source_sha256, store.series, store.patients, store.position_mm.tolist()
        names = "sha256", "series", "patient", "position_mm"
        taken = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    path = report_path(out)
    now = [(entry.sha256 or "", entry.reason) for entry in refused]
    before = [pair for pair in _refused_before(path) if pair[0] not in {sha256 for sha256, _ in now}]
    inside = {entry["sha256"] for entry in taken}
    kept = sorted(now + [pair for pair in before if pair[0] not in inside])
    content = {
        "schema": REPORT_SCHEMA,
        "taken": taken,
        "refused": [{"sha256": sha256 or None, "reason": reason} for sha256, reason in kept],
    }
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def _refused_before(path: Path) -> list[tuple[str, str]]:
    """Of the ingests before, where their account is there and readable; without hash they cannot be told apart."""
    try:
        entries: list[Any] = json.loads(path.read_text(encoding="utf-8"))["refused"]
        return [(entry["sha256"], entry["reason"]) for entry in entries if entry["sha256"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
