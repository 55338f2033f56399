"""Reconstruct by a trained run: sinograms, or DICOM slices its scan is simulated on, into a DICOM series."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ctrobust.cli.refusals import refused_lines
from ctrobust.core.errors import UserError

if TYPE_CHECKING:
    from ctrobust.reconstruction import Reconstruction


def configure(parser: ArgumentParser) -> None:
    """The arguments of `ctrobust reconstruct`."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a trained run")
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help="sinograms in mm of water, (views, bins) or (N, views, bins) in a .npy or .h5 file; or a folder of "
        "DICOM slices to simulate them from",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="for the series; must not exist yet"
    )
    parser.add_argument(
        "--keep-patient",
        action="store_true",
        help="copy patient and study into the new files, for return to the archive (default: pseudonyms)",
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the secret key of the pseudonyms (default: your own)"
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="of the sinograms in an .h5 file (default: /sinogram, or the only one)",
    )


def run(arguments: Namespace) -> int:
    """Write the series; print what was made and what was refused."""
    _check(arguments)

    import torch

    from ctrobust.ingest import Pseudonyms
    from ctrobust.reconstruction import open_run, reconstruct_sinograms
    from ctrobust.resimulation import NothingReconstructedError, reconstruct_folder

    opened = open_run(arguments.run, "cuda" if torch.cuda.is_available() else "cpu")
    if not arguments.input.is_dir():
        _tell(
            reconstruct_sinograms(opened, arguments.input, arguments.out, dataset=arguments.dataset),
            arguments.out,
        )
        return 0
    pseudonyms = Pseudonyms.from_file(arguments.key) if arguments.key else None
    try:
        result = reconstruct_folder(
            opened,
            arguments.input,
            arguments.out,
            keep_patient=arguments.keep_patient,
            pseudonyms=pseudonyms,
        )
    except NothingReconstructedError as nothing:
        print("\n".join(refused_lines(nothing.refused)))
        raise
    _tell(result, arguments.out)
    return 0


def _check(arguments: Namespace) -> None:
    """Raise UserError on arguments that do not go together, before anything heavy is loaded."""
    given, out = arguments.input, arguments.out
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; give another --out or delete it")
    if not given.exists():
        raise UserError(
            f"{given}: no such file or folder; give a .npy or .h5 file, or a folder of DICOM slices"
        )
    if given.is_dir():
        if arguments.dataset:
            raise UserError(
                f"--dataset {arguments.dataset}: {given} is a folder of DICOM slices; leave it out"
            )
        if out.resolve().is_relative_to(given.resolve()):
            raise UserError(
                f"{out}: lies inside {given}, where reconstructions would be taken for scans; give another --out"
            )
    for option, used in (("--keep-patient", arguments.keep_patient), ("--key", arguments.key)):
        if used and not given.is_dir():
            raise UserError(
                f"{option}: {given} is no folder of DICOM slices, it has no patient; leave it out"
            )


def _tell(result: "Reconstruction", out: Path) -> None:
    print(f"{'patient':16}{'series':16}{'slices':>6}")
    for made in result.made:
        print(f"{made.patient or 'none':16}{made.name:16}{made.slices:6}")
    for line in refused_lines(result.refused):
        print(line)
    slices = sum(made.slices for made in result.made)
    print(f"\n{out}: {slices} slices in {len(result.made)} series, not for clinical use")
