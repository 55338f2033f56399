"""Where ingest and store meet: DICOM folders into a store, and the account of every file beside it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

import ctrobust
from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.progress import Progress, say
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms, Refused, Scan, find_files, read_slices, scan
from ctrobust.store import Store, write_store

REPORT_SCHEMA = 1

EMBEDDED_KEY = b"ctrobust embedded data set: none"
"""The phantoms are nobody: with a fixed key their pseudonyms, and so the store, are the same everywhere."""
SIZES = range(16, 4097)
"""What --size may be: from the smallest image a network takes to the largest a scanner makes."""


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
    """Every file under the folders, once: taken, in the order of the store, or refused."""

    taken: tuple[Taken, ...]
    refused: tuple[Refused, ...]


class NothingTakenError(UserError):
    """No slice could be taken, no store was made; `report` says why for each file."""

    def __init__(self, message: str, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report


def ingest_to_store(
    folders: Sequence[Path], out: Path, *, size: int | None = None, pseudonyms: Pseudonyms | None = None
) -> IngestReport:
    """Ingest DICOM folders into the store `out`, and write `report_path(out)` beside it.

    size: resample to (size, size) pixels over the same field of view. pseudonyms: by default with the user's
    own key. Holds one slice at a time. Raises UserError on a wrong argument, NothingTakenError where no slice is left.
    """
    if size is not None and size not in SIZES:
        raise UserError(f"--size {size}: give a whole number from {SIZES[0]} to {SIZES[-1]}")
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; choose another name or delete it")
    found = find_files(folders)
    headers = scan(Progress(found.files, "headers", total=len(found.files)))
    taken: list[Taken] = []
    refused = [*found.refused, *headers.refused]
    records = _taken_records(headers, pseudonyms or Pseudonyms.from_file(), size, taken, refused)
    first = next(records, None)
    if first is None:
        report = IngestReport((), tuple(refused))
        raise NothingTakenError(
            f"{', '.join(map(str, folders))}: nothing could be taken, {len(refused)} files refused "
            f"({', '.join(sorted({entry.reason for entry in refused}))}); name a folder of CT slices",
            report,
        )
    write_store(out, chain([first], records))
    report = IngestReport(tuple(taken), tuple(refused))
    _write_report(report, report_path(out))
    return report


def report_path(store: Path) -> Path:
    """STORE.ingest.json for STORE.h5."""
    return store.with_name(f"{store.name.removesuffix('.h5')}.ingest.json")


def _taken_records(
    headers: Scan, pseudonyms: Pseudonyms, size: int | None, taken: list[Taken], refused: list[Refused]
) -> Iterator[SliceRecord]:
    """The slices for the writer; what became of each file is noted in `taken` and `refused` on the way."""
    paths: dict[str, Path] = {}
    for header in headers.slices:
        paths.setdefault(header.sha256, header.path)
    outcomes = read_slices(headers, pseudonyms, size=size)
    for outcome in Progress(outcomes, "slices", total=len(headers.slices)):
        if isinstance(outcome, Refused):
            refused.append(outcome)
        else:
            taken.append(_without_pixels(outcome, paths[outcome.source_sha256]))
            yield outcome


def _without_pixels(record: SliceRecord, path: Path) -> Taken:
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


def _write_report(report: IngestReport, path: Path) -> None:
    """Files by their SHA-256 alone, the refused in an order that says nothing about their names."""
    taken = [
        {
            "sha256": entry.sha256,
            "series": entry.series,
            "patient": entry.patient,
            "position_mm": entry.position_mm,
        }
        for entry in report.taken
    ]
    refused = sorted((entry.sha256 or "", entry.reason) for entry in report.refused)
    content = {
        "schema": REPORT_SCHEMA,
        "taken": taken,
        "refused": [{"sha256": sha256 or None, "reason": reason} for sha256, reason in refused],
    }
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def embedded_store() -> Store:
    """The store of the embedded data set, in the user's cache folder; made on first use, by way of DICOM files."""
    from ctrobust_datasets import synthetic

    path = user_cache_path("ctrobust") / f"synthetic-{synthetic.VERSION}-{ctrobust.__version__}" / "store.h5"
    if not path.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent.parent) as scratch:
            say("making the embedded data set (once, a few seconds)")
            dicom, made = Path(scratch) / "dicom", Path(scratch) / "made"
            synthetic.write_dicom(dicom, progress=lambda patients: Progress(patients, "phantoms", total=24))
            made.mkdir()
            ingest_to_store([dicom], made / path.name, pseudonyms=Pseudonyms(EMBEDDED_KEY))
            # Renamed whole; whoever comes second finds it there and keeps the first.
            with suppress(OSError):
                made.rename(path.parent)
    return Store(path)
