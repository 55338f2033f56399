"""Divide a store into training, validation and evaluation slices, written as a split manifest."""

import argparse
from pathlib import Path

DRAWN = ("eval_fraction", "by", "stratify", "val_fraction", "seed")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ctrobust split`."""
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="a store made by `ctrobust ingest`")
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE.csv",
        help="your own division instead: columns part (train, val, eval) and patient, series or source_sha256",
    )
    # Absent unless given: the defaults are those of `make_split`.
    drawn = parser.add_argument_group("a division drawn at random", argument_default=argparse.SUPPRESS)
    drawn.add_argument(
        "--eval", dest="eval_fraction", type=float, metavar="FRACTION", help="share of all slices to judge by"
    )
    drawn.add_argument(
        "--by",
        choices=("patient", "slice"),
        help="patient (default): no patient in both eval and another part; slice: every slice by itself",
    )
    drawn.add_argument(
        "--stratify", action="store_true", help="with --by slice: the same share of every series"
    )
    drawn.add_argument(
        "--val",
        dest="val_fraction",
        type=float,
        metavar="FRACTION",
        help="share of the slices left to select by; default 0.1",
    )
    drawn.add_argument("--seed", type=int, metavar="N", help="another seed, another draw; default 0")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="SPLIT.json", help="the manifest; must not exist yet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest; print slices and patients of each part."""
    # h5py takes its time to load: `--help` must not wait for it.
    from ctrobust.core.errors import UserError
    from ctrobust.core.progress import say
    from ctrobust.store import Store, listed_split, make_split, write_split
    from ctrobust.store.split import leaked

    out: Path = arguments.out
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; choose another name or delete it")
    drawn = {name: value for name, value in vars(arguments).items() if name in DRAWN}
    if (arguments.list is None) == ("eval_fraction" not in drawn):
        raise UserError("give either --eval FRACTION or --list FILE.csv")
    if arguments.list and drawn:
        raise UserError(
            "--list says of itself what is in which part; leave out --by, --stratify, --val and --seed"
        )
    with Store(arguments.store) as store:
        split = listed_split(store, arguments.list) if arguments.list else make_split(store, **drawn)
        write_split(split, out)
        parts = {part: getattr(split, part) for part in ("train", "val", "eval")}
        patients = {part: {store.patients[index] for index in indices} for part, indices in parts.items()}
        leaking = leaked(split, store)
        unused = len(store) - sum(map(len, parts.values()))
    print(f"{'part':6}{'slices':>8}{'patients':>10}")
    for part, names in patients.items():
        print(f"{part:6}{len(parts[part]):8}{len(names):10}")
    if split.by != "patient":
        print(
            f"leakage: {len(leaking)} of {len(split.eval)} eval slices are of patients that are in train or val too"
        )
    if unused:
        print(f"in no part: {unused} slices that the list does not name")
    if split.by == "patient" and patients["train"] & patients["val"]:
        say("val: slices of training patients, there are too few patients to set whole ones aside")
    return 0
