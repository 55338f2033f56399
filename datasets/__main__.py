"""`python -m ctrobust_datasets LAYOUT SRC --out STORE.h5`: CT that is not a folder of DICOM into a store."""

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ctrobust.cli.main import OneLineParser
from ctrobust.cli.refusals import refused_lines
from ctrobust.core.errors import UserError
from ctrobust.ingest.refusal import Refused

from .filling import Account, fill_store

LAYOUTS = {
    "lodopab": "LoDoPaB-CT as unpacked from Zenodo: ground_truth_*.hdf5",
    "nifti": "a folder of NIfTI volumes in HU",
    "npy": "a folder of .npy arrays in HU",
    "raster": "a folder of PNG or TIFF slices",
}
"""Each is a module with `configure(parser)` and `records(folder, refuse=…, **its own options)`."""

ELSEWHERE = {
    "tcia": "a TCIA download is a tree of DICOM files: `ctrobust ingest SRC --out STORE.h5` reads it",
    "mnist": "MNIST is no CT: `ctrobust-train mnist --data SRC` reads it; in Python ctrobust_datasets.mnist.digits",
    "celeba": "CelebA is no CT: `ctrobust-train celeba --data SRC` reads it; in Python ctrobust_datasets.celeba.faces",
    "synthetic": "the embedded data set is written by `python -m ctrobust_datasets.synthetic OUT`",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = OneLineParser(
        prog="python -m ctrobust_datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="layouts:\n" + "\n".join(f"  {name:10} {what}" for name, what in LAYOUTS.items()),
    )
    first.add_argument("layout", choices=[*LAYOUTS, *ELSEWHERE], metavar="LAYOUT")
    layout = first.parse_args(given[:1]).layout
    if layout in ELSEWHERE:
        first.error(ELSEWHERE[layout])
    return _read(layout, given[1:])


def _read(layout: str, given: Sequence[str]) -> int:
    module = importlib.import_module(f"{__package__}.{layout}")
    parser = OneLineParser(prog=f"python -m ctrobust_datasets {layout}", description=module.__doc__)
    parser.add_argument("folder", type=Path, metavar="SRC", help="the folder of the data, as you have it")
    parser.add_argument("--out", required=True, type=Path, metavar="STORE.h5", help="must not exist yet")
    parser.add_argument(
        "--size", type=int, metavar="N", help="resample every slice to N x N, field of view kept"
    )
    module.configure(parser)
    options = vars(parser.parse_args(given))
    out, size = options.pop("out"), options.pop("size")
    refused: list[Refused] = []
    try:
        account = fill_store(module.records(refuse=refused.append, **options), out, size=size)
    except UserError as mistake:
        _tell(refused_lines(refused))
        print(f"{parser.prog}: {mistake}", file=sys.stderr)
        return 2
    _tell(_taken_lines(account))
    _tell(refused_lines(refused))
    print(f"\n{out}: {sum(account.slices.values())} slices, {account.patients} patients")
    return 0


def _taken_lines(account: Account) -> Iterator[str]:
    yield f"{'patient':20}{'series':20}{'slices':>7}"
    for (patient, series), slices in account.slices.items():
        yield f"{patient:20}{series:20}{slices:7}"


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
