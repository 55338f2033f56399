"""Show what a store holds: patients, series, HU, and a contact sheet."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrobust.store.overview import HuOverview, SeriesOverview

BAR = 40


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ctrobust info`."""
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="a store made by `ctrobust ingest`")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="the contact sheet (default: STORE.png beside the store)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read every slice once, so that a damaged one is found; print, and draw the sheet."""
    from ctrobust.core.errors import UserError
    from ctrobust.core.progress import Progress
    from ctrobust.store import Store
    from ctrobust.store.overview import hu_of, series_of
    from ctrobust.store.sheet import write_sheet

    sheet: Path = arguments.sheet or arguments.store.with_suffix(".png")
    if sheet.suffix != ".png":
        raise UserError(f"{sheet}: give the contact sheet a name that ends in .png")
    with Store(arguments.store) as store:
        series = series_of(store)
        rows, columns = store.image_shape
        print(f"{arguments.store}: {len(store)} slices of {rows}x{columns} pixels, {len(series)} series,")
        print(f"{len(set(store.patients))} patients; {store.created_by}, schema {store.schema}")
        print(f"sha256 {store.sha256}\n")
        for line in _series_lines(series):
            print(line)
        hu = hu_of(store, Progress(range(len(store)), "slices", total=len(store)))
        print()
        for line in _hu_lines(hu):
            print(line)
        try:
            shown = write_sheet(store, series, sheet)
        except OSError as error:
            raise UserError(
                f"{sheet}: the contact sheet cannot be written ({error.strerror}); name another with --sheet"
            ) from error
    print(f"\ncontact sheet of {shown} series: {sheet}")
    return 0


def _series_lines(series: "list[SeriesOverview]") -> list[str]:
    lines = [
        f"{'patient':16}{'series':16}{'slices':>6}  {'pixel (mm)':16}{'step (mm)':>9}  along the normal (mm)"
    ]
    for one in series:
        pixel = " x ".join(f"{mm:.4g}" for mm in one.pixel_mm)
        step = "" if one.spacing_mm is None else f"{one.spacing_mm:.4g}"
        span = (
            "unknown"
            if one.span_mm is None
            else " to ".join(f"{mm:.1f}" for mm in dict.fromkeys(one.span_mm))
        )
        lines.append(f"{one.patient:16}{one.series:16}{len(one.indices):6}  {pixel:16}{step:>9}  {span}")
    return lines


def _hu_lines(hu: "HuOverview") -> list[str]:
    total = hu.counts.sum()
    lines = [f"HU {hu.lowest:.0f} to {hu.highest:.0f}, mean {hu.mean:.1f}"]
    for low, high, count in zip(hu.edges[:-1], hu.edges[1:], hu.counts, strict=True):
        name = (
            "-1024"
            if low < -1024
            else f"{low:.0f} and more"
            if high == float("inf")
            else f"{low:.0f} to {high:.0f}"
        )
        name = "above -1024 to -950" if low == -1023.5 else name
        lines.append(f"{name:>20} {count / total:6.1%} {'#' * round(BAR * count / hu.counts.max())}")
    return lines
