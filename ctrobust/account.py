"""What became of every file of an ingest: for the terminal and the log by its path, beside the store by its hash."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Refused, SeriesGeometry
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

    geometry: of each series that the headers showed, by its pseudonym.
    """

    taken: tuple[Taken, ...]
    refused: tuple[Refused, ...]
    present: tuple[Path, ...] = ()
    geometry: Mapping[str, SeriesGeometry] = field(default_factory=dict)


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


def write_report(out: Path, refused: Iterable[Refused], geometry: Mapping[str, SeriesGeometry]) -> None:
    """Files by their SHA-256 alone: all slices of the store, and what this ingest and those before refused; and how
    the slices of each series of the store stand, by the ingest that saw it last.

    The refused come in an order that says nothing about their names. Raises UserError where the disk refuses.
    """
    with Store(out) as store:
        columns = store.source_sha256, store.series, store.patients, store.position_mm.tolist()
        names = "sha256", "series", "patient", "position_mm"
        taken = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    path = report_path(out)
    earlier = _report_before(path)
    now = [(entry.sha256 or "", entry.reason) for entry in refused]
    before = [pair for pair in _refused_before(earlier) if pair[0] not in {sha256 for sha256, _ in now}]
    inside = {entry["sha256"] for entry in taken}
    kept = sorted(now + [pair for pair in before if pair[0] not in inside])
    known = earlier.get("series", {}) | {name: asdict(found) for name, found in geometry.items()}
    content = {
        "schema": REPORT_SCHEMA,
        "series": {name: known[name] for name in dict.fromkeys(columns[1]) if name in known},
        "taken": taken,
        "refused": [{"sha256": sha256 or None, "reason": reason} for sha256, reason in kept],
    }
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def _report_before(path: Path) -> dict[str, Any]:
    """The account of the ingests before, where it is there and readable."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) and isinstance(content.get("series", {}), dict) else {}
    except (OSError, ValueError):
        return {}


def _refused_before(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Without hash they cannot be told apart."""
    try:
        return [(entry["sha256"], entry["reason"]) for entry in report["refused"] if entry["sha256"]]
    except (KeyError, TypeError):
        return []
