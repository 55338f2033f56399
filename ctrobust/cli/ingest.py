"""Turn DICOM folders into an HDF5 store of CT slices in HU, under pseudonyms."""

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ctrobust.cli.refusals import refused_lines

if TYPE_CHECKING:
    from ctrobust.pipeline import IngestReport, Taken

MOST_WORKERS = 4
"""By default: with more, one thread is soon busy writing what they decode."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ctrobust ingest`."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folders of DICOM files, .zip and .tar, any depth",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="STORE.h5",
        help="the store; where it exists, what is new is added and nothing else changes",
    )
    parser.add_argument(
        "--size", type=int, metavar="N", help="resample every slice to N x N pixels, field of view kept"
    )
    parser.add_argument(
        "--pixel-mm", type=float, metavar="MM", help="resample every slice to square pixels of this size"
    )
    parser.add_argument("--dry-run", action="store_true", help="read and check every slice, write no store")
    parser.add_argument(
        "--take-burned-in",
        action="store_true",
        help="take slices whose header says that annotation, a name perhaps, is burned into the pixels",
    )
    for what, meaning in (
        ("gaps", "slices missing"),
        ("tilt", "a tilted gantry"),
        ("variable", "variable spacing"),
    ):
        parser.add_argument(f"--refuse-{what}", action="store_true", help=f"refuse series with {meaning}")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        default=min(MOST_WORKERS, os.cpu_count() or 1),
        help="threads that read, decode and compress (default: %(default)s); the store is the same for any number",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="what became of every file, by its path")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the secret key of the pseudonyms (default: your own)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the store; print what was taken and what was refused."""
    from ctrobust.core.errors import UserError
    from ctrobust.ingest import Pseudonyms
    from ctrobust.pipeline import IngestOptions, NothingTakenError, ingest_to_store, report_path

    # A slip such as `--log slice.dcm` must not cost a scan.
    if arguments.log and arguments.log.exists():
        raise UserError(f"{arguments.log}: exists already; choose another name for the log or delete it")
    ours = [path.resolve() for path in (arguments.out, report_path(arguments.out))]
    if arguments.log and arguments.log.resolve() in ours:
        raise UserError(
            f"{arguments.log}: is the store or the JSON beside it; choose another name for the log"
        )
    pseudonyms = Pseudonyms.from_file(arguments.key) if arguments.key else None
    options = IngestOptions(
        size=arguments.size,
        pixel_mm=arguments.pixel_mm,
        dry_run=arguments.dry_run,
        take_burned_in=arguments.take_burned_in,
        refuse_gaps=arguments.refuse_gaps,
        refuse_tilt=arguments.refuse_tilt,
        refuse_variable=arguments.refuse_variable,
        workers=arguments.workers,
    )
    try:
        report = ingest_to_store(arguments.folders, arguments.out, options, pseudonyms=pseudonyms)
    except NothingTakenError as nothing:
        _tell(nothing.report, arguments.log)
        raise
    _tell(report, arguments.log)
    patients = len({entry.patient for entry in report.taken})
    there = f", {len(report.present)} were there before" if report.present else ""
    dry = ", none written (dry run)" if arguments.dry_run else ""
    print(f"\n{arguments.out}: {len(report.taken)} slices of {patients} patients{there}{dry}")
    return 0


def _tell(report: "IngestReport", log: Path | None) -> None:
    for line in [*_taken_lines(report), *refused_lines(report.refused, rest="; --log FILE names them all")]:
        print(line)
    if log:
        _write_log(report, log)


def _taken_lines(report: "IngestReport") -> Iterator[str]:
    series: defaultdict[str, list[Taken]] = defaultdict(list)
    for entry in report.taken:
        series[entry.series].append(entry)
    if series:
        yield f"{'patient':16}{'series':16}{'slices':>6}  {'size':11}pixel (mm)"
    for name, entries in series.items():
        first = entries[0]
        size, pixel = "x".join(map(str, first.size)), " x ".join(f"{mm:.4g}" for mm in first.pixel_mm)
        line = f"{first.patient:16}{name:16}{len(entries):6}  {size:11}{pixel}  {report.geometry[name]}"
        yield line.rstrip()


def _write_log(report: "IngestReport", log: Path) -> None:
    from ctrobust.core.errors import UserError
    from ctrobust.core.files import replacing
    from ctrobust.ingest.refusal import printable

    lines = [f"taken\t{printable(str(entry.path))}" for entry in report.taken]
    lines += [f"present\t{printable(str(path))}" for path in report.present]
    for entry in report.refused:
        detail = f" ({entry.detail})" if entry.detail else ""
        lines.append(f"refused\t{printable(str(entry.path))}\t{entry.reason}{detail}")
    try:
        with replacing(log) as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{log}: the log cannot be written ({error.strerror}); check the folder") from error
