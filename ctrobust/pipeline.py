"""Where ingest and store meet: DICOM folders into a store, and the account of every file beside it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

import ctrobust
from ctrobust.account import IngestReport, Taken, report_path, taken_from, write_report
from ctrobust.core.errors import UserError
from ctrobust.core.progress import Progress, say
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms, Refused, Scan, find_files, read_slices, scan
from ctrobust.ingest.canvas import check_pixel_mm
from ctrobust.store import Store, write_store

EMBEDDED_KEY = b"ctrobust embedded data set: none"
"""The phantoms are nobody: with a fixed key their pseudonyms, and so the store, are the same everywhere."""
INGEST_REVISION = 2
"""Raised when the same DICOM makes another store, so that an embedded one in the cache is made anew."""
SIZES = range(16, 4097)
"""What --size may be: from the smallest image a network takes to the largest a scanner makes."""

__all__ = ["IngestOptions", "IngestReport", "NothingTakenError", "Taken", "ingest_to_store", "report_path"]


@dataclass(frozen=True)
class IngestOptions:
    """size: resample to (size, size) pixels; pixel_mm: resample to pixels of that size; see `read_slices`.

    dry_run: read and check everything, write nothing. take_burned_in: take slices whose header says that a name may
    stand in the pixels. refuse_…: whole series that are not even stacks; by default they are taken, and said to be.
    workers: threads that read, decode and compress; the store does not depend on how many.
    """

    size: int | None = None
    pixel_mm: float | None = None
    dry_run: bool = False
    take_burned_in: bool = False
    refuse_gaps: bool = False
    refuse_tilt: bool = False
    refuse_variable: bool = False
    workers: int = 1


class NothingTakenError(UserError):
    """No slice could be taken, no store was made; `report` says why for each file."""

    def __init__(self, message: str, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report


def ingest_to_store(
    folders: Sequence[Path],
    out: Path,
    options: IngestOptions = IngestOptions(),
    *,
    pseudonyms: Pseudonyms | None = None,
) -> IngestReport:
    """Ingest DICOM folders into the store `out`, and write `report_path(out)` beside it.

    Where `out` is a store already, what is new is added at its end and its own slices stay as they are; the store is
    as before or complete, never in between. pseudonyms: by default with the user's own key. Holds one slice at a time,
    or four for each of several workers. Raises UserError on a wrong argument, NothingTakenError where no slice is left.
    """
    _check(options)
    pseudonyms = pseudonyms or Pseudonyms.from_file()
    before = _existing(out, pseudonyms)
    found = find_files(folders)
    headers = scan(
        Progress(found.files, "headers", total=len(found.files)),
        refuse_gaps=options.refuse_gaps,
        refuse_tilt=options.refuse_tilt,
        refuse_variable=options.refuse_variable,
        workers=options.workers,
    )
    geometry = {pseudonyms.series(series.slices[0].series): series.geometry for series in headers.series}
    refused = [*found.refused, *headers.refused]
    present, headers = _only_new(headers, before, options, refused)
    taken: list[Taken] = []
    records = _taken_records(headers, pseudonyms, options, before, taken, refused)
    first = next(records, None)
    if first is None and not present:
        reasons = ", ".join(sorted({entry.reason for entry in refused}))
        raise NothingTakenError(
            f"{', '.join(map(str, folders))}: nothing could be taken, {len(refused)} files refused ({reasons}); "
            "name a folder of CT slices",
            IngestReport((), tuple(refused)),
        )
    if options.dry_run:
        for _ in records:
            pass
    elif first is not None:
        write_store(
            out,
            chain([first], records),
            onto=out if before else None,
            key_id=pseudonyms.key_id,
            workers=options.workers,
        )
    if not options.dry_run:
        write_report(out, refused, geometry)
    return IngestReport(tuple(taken), tuple(refused), present, geometry)


def _check(options: IngestOptions) -> None:
    """What can be said before hours of reading."""
    if options.size is not None and options.size not in SIZES:
        raise UserError(f"--size {options.size}: give a whole number from {SIZES[0]} to {SIZES[-1]}")
    if options.workers < 1:
        raise UserError(f"--workers {options.workers}: give how many threads may work, 1 or more")
    if options.pixel_mm is not None:
        check_pixel_mm(options.pixel_mm)


def _existing(out: Path, pseudonyms: Pseudonyms) -> Store | None:
    """The store to add to, where there is one. Raises UserError where `out` is something else, or another key's."""
    if not out.exists() and not out.is_symlink():
        return None
    store = Store(out)
    store.close()
    if store.key_id != pseudonyms.key_id:
        raise UserError(
            f"{out}: its pseudonyms were made with another key, so that patients would get second names; give that "
            "key with --key FILE, or name another store"
        )
    return store


def _only_new(
    headers: Scan, before: Store | None, options: IngestOptions, refused: list[Refused]
) -> tuple[tuple[Path, ...], Scan]:
    """The paths whose slices are in the store, and the scan of the others, less those refused here."""
    known = set(before.source_sha256) if before else set()
    native = options.size is None and options.pixel_mm is None
    present: list[Path] = []
    kept = []
    for series in headers.series:
        places = zip(series.slices, series.places, strict=True)
        occupied = {place for header, place in places if header.sha256 in known}
        slices = []
        for header, place in zip(series.slices, series.places, strict=True):
            reason = None
            if header.sha256 in known:
                present.append(header.path)
                continue
            if header.burned_in and not options.take_burned_in:
                reason = "a name may be burned into its pixels; --take-burned-in takes it all the same"
            elif place in occupied:
                reason = "duplicate: another slice at its position in its series is in the store"
            elif before and native and header.size != before.image_shape:
                reason = _misfit(header.size, before.image_shape)
            if reason:
                refused.append(Refused(header.path, header.sha256, reason))
            else:
                slices.append(header)
        if slices:
            kept.append(replace(series, slices=tuple(slices)))
    return tuple(present), Scan(tuple(kept), ())


def _taken_records(
    headers: Scan,
    pseudonyms: Pseudonyms,
    options: IngestOptions,
    before: Store | None,
    taken: list[Taken],
    refused: list[Refused],
) -> Iterator[SliceRecord]:
    """The slices for the writer; what became of each file is noted in `taken` and `refused` on the way."""
    outcomes = read_slices(
        headers, pseudonyms, size=options.size, pixel_mm=options.pixel_mm, workers=options.workers
    )
    pairs = zip(headers.slices, outcomes, strict=True)
    for header, outcome in Progress(pairs, "slices", total=len(headers.slices)):
        if isinstance(outcome, Refused):
            refused.append(outcome)
        elif before and outcome.image_hu.shape != before.image_shape:
            reason = _misfit(outcome.image_hu.shape, before.image_shape)
            refused.append(Refused(header.path, header.sha256, reason))
        else:
            taken.append(taken_from(outcome, header.path))
            yield outcome


def _misfit(size: tuple[int, ...], stored: tuple[int, ...]) -> str:
    own, others = ("x".join(map(str, shape)) for shape in (size, stored))
    return f"{own} pixels while the store has {others}: give the --size or --pixel-mm of its making, or another store"


def embedded_store() -> Store:
    """The store of the embedded data set, in the user's cache folder; made on first use, by way of DICOM files."""
    from ctrobust_datasets import synthetic

    name = f"synthetic-{synthetic.VERSION}-{ctrobust.__version__}-{INGEST_REVISION}"
    path = user_cache_path("ctrobust") / name / "store.h5"
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
