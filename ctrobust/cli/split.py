"""Divide a store into training, validation and evaluation slices, written as a split manifest."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrobust.core.records import Split
    from ctrobust.store import Store

DRAWN = ("eval_fraction", "folds", "by", "stratify", "val_fraction", "seed")
PARTS = ("train", "val", "eval")


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
        "--folds",
        type=int,
        metavar="K",
        help="K splits by patient instead, which judge every patient once; --out is their folder",
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
        "--out",
        required=True,
        type=Path,
        metavar="SPLIT.json",
        help="the manifest, or the folder of the folds; must not exist yet",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest, or one a fold; print slices and patients of each part."""
    # h5py takes its time to load: `--help` must not wait for it.
    from ctrobust.core.errors import UserError
    from ctrobust.store import Store, write_split

    out: Path = arguments.out
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; choose another name or delete it")
    drawn = {name: value for name, value in vars(arguments).items() if name in DRAWN}
    _require_one_way(arguments.list, drawn)
    with Store(arguments.store) as store:
        splits = _divided(store, arguments.list, drawn)
        for number, split in enumerate(splits, 1):
            name = f"fold-{number}" if "folds" in drawn else "part"
            write_split(split, out / f"{name}.json" if "folds" in drawn else out)
            _describe(split, store, name)
    return 0


def _require_one_way(listed: Path | None, drawn: dict[str, Any]) -> None:
    from ctrobust.core.errors import UserError

    if listed and drawn:
        raise UserError(
            "--list says of itself what is in which part; leave out --eval, --folds, --by, --stratify, --val and --seed"
        )
    if not listed and ("eval_fraction" in drawn) == ("folds" in drawn):
        raise UserError("give one of --eval FRACTION, --folds K and --list FILE.csv")
    if "folds" in drawn and (drawn.get("by") == "slice" or "stratify" in drawn):
        raise UserError("--folds leaves whole patients out; leave out --by slice and --stratify")


def _divided(store: "Store", listed: Path | None, drawn: dict[str, Any]) -> "list[Split]":
    from ctrobust.store import listed_split, make_folds, make_split

    if listed:
        return [listed_split(store, listed)]
    if "folds" in drawn:
        return make_folds(
            store, drawn["folds"], **{key: drawn[key] for key in ("val_fraction", "seed") if key in drawn}
        )
    return [make_split(store, **drawn)]


def _describe(split: "Split", store: "Store", heading: str) -> None:
    from ctrobust.core.progress import say
    from ctrobust.store.split import leaked

    parts = {part: getattr(split, part) for part in PARTS}
    patients = {part: {store.patients[index] for index in indices} for part, indices in parts.items()}
    print(f"{heading:6}{'slices':>8}{'patients':>10}")
    for part, names in patients.items():
        print(f"{part:6}{len(parts[part]):8}{len(names):10}")
    if split.by != "patient":
        print(
            f"leakage: {len(leaked(split, store))} of {len(split.eval)} eval slices are of patients that are in train "
            "or val too"
        )
    unused = len(store) - sum(map(len, parts.values()))
    if unused:
        print(f"in no part: {unused} slices that the list does not name")
    if split.by == "patient" and patients["train"] & patients["val"]:
        say("val: slices of training patients, there are too few patients to set whole ones aside")
