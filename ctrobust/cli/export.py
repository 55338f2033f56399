"""Hand a run over: its weights, recipe, result and a card that says what they are; nothing of whose data they saw."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run that was evaluated")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FOLDER_OR_ZIP",
        type=Path,
        help="must not exist yet; a name in .zip makes one file. `ctrobust report` and ctrobust.load take either",
    )
    parser.add_argument("--licence", metavar="TEXT", help="that you give the weights, for the card")


def run(arguments: Namespace) -> int:
    """Write the parcel; print its path and the SHA-256 of the weights."""
    from ctrobust.handover import export_run

    digest = export_run(arguments.run, arguments.out, licence=arguments.licence)
    print(f"{arguments.out}\nweights.safetensors: SHA-256 {digest}")
    return 0
