"""`ctrobust VERB …`: finds the verb's file, runs it, and turns a user's mistake into one line and exit 2."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ctrobust import __version__
from ctrobust.core.errors import UserError, ran_out_of_memory

VERBS = {
    "ingest": "DICOM folders into an HDF5 store",
    "info": "what a store holds: patients, series, HU, a contact sheet",
    "split": "divide a store into training, validation and evaluation slices",
    "train": "train by a recipe; `ctrobust-train` is the same",
    "sweep": "train a grid of recipes, go on where it stopped, one report of all",
    "evaluate": "measure a run's worst-case error by projected gradient ascent",
    "reconstruct": "sinograms or DICOM slices through a run, into a DICOM series",
    "report": "one self-contained page from one or more runs",
    "export": "weights, recipe, result and a card, to hand over",
    "doctor": "what is installed, what works, and what to do about the rest",
}

OF_A_RECIPE = "evaluate.batch_size, train.batch_size, network.base_channels or data.size"
OF_WHAT_IS_GIVEN = "how many slices are given at once, or end what else runs"
SMALLER = {
    "train": OF_A_RECIPE,
    "sweep": OF_A_RECIPE,
    "evaluate": "evaluate.batch_size or evaluate.slices",
    "ingest": "--workers or --size",
}
"""What to lower where memory runs out; a step of training says more, of its own."""


class OneLineParser(argparse.ArgumentParser):
    """argparse whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `ctrobust`."""
    if arguments is None:
        _end_on_terminate()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = OneLineParser(
        prog="ctrobust",
        description="Train, attack and judge learned CT reconstruction.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {verb:10} {what}" for verb, what in VERBS.items()),
    )
    parser.add_argument("--version", action="version", version=f"ctrobust {__version__}")
    parser.add_argument("verb", choices=list(VERBS), metavar="COMMAND")
    return run_verb(parser.parse_args(given[:1]).verb, given[1:], prog=None)


def train_main() -> int:
    """Entry point of `ctrobust-train`."""
    _end_on_terminate()
    return run_verb("train", sys.argv[1:], prog="ctrobust-train")


def _end_on_terminate() -> None:
    """SIGTERM ends like Ctrl-C, so that what was begun beside its place is cleared away."""

    def end(*_: object) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def run_verb(verb: str, arguments: Sequence[str], prog: str | None) -> int:
    """Each verb's module has `configure(parser)` and `run(arguments) -> int`, heavy imports late."""
    module = importlib.import_module(f"ctrobust.cli.{verb}")
    parser = OneLineParser(prog=prog or f"ctrobust {verb}", description=module.__doc__)
    module.configure(parser)
    try:
        return int(module.run(parser.parse_intermixed_args(arguments)))
    except UserError as mistake:
        print(f"{parser.prog}: {mistake}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"{parser.prog}: {where}{error.strerror or error}; check the path and the disk", file=sys.stderr
        )
        return 2
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        print(f"{parser.prog}: out of memory; lower {SMALLER.get(verb, OF_WHAT_IS_GIVEN)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return 130
