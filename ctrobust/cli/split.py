"""Divide a store into training, validation and evaluation slices, written as a split manifest."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ctrobust split`."""
    parser.add_argument("store", type=Path, metavar="STORE.h5", help="a store made by `ctrobust ingest`")
    parser.add_argument(
        "--by",
        choices=("patient", "slice"),
        default="patient",
        help="patient (default): no patient in both eval and another part; slice: every slice by itself",
    )
    parser.add_argument(
        "--eval", required=True, type=float, metavar="FRACTION", help="share of all slices to judge by"
    )
    parser.add_argument(
        "--val",
        default=0.1,
        type=float,
        metavar="FRACTION",
        help="share of the slices left to select by; default 0.1",
    )
    parser.add_argument(
        "--seed", default=0, type=int, metavar="N", help="another seed, another draw; default 0"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="SPLIT.json", help="the manifest; must not exist yet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest; print slices and patients of each part."""
    # h5py takes its time to load: `--help` must not wait for it.
    from ctrobust.core.errors import UserError
    from ctrobust.core.progress import say
    from ctrobust.store import Store, make_split, write_split

    out: Path = arguments.out
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; choose another name or delete it")
    with Store(arguments.store) as store:
        split = make_split(
            store,
            by=arguments.by,
            eval_fraction=arguments.eval,
            val_fraction=arguments.val,
            seed=arguments.seed,
        )
        write_split(split, out)
        patients = {
            part: {store.patients[index] for index in getattr(split, part)}
            for part in ("train", "val", "eval")
        }
    print(f"{'part':6}{'slices':>8}{'patients':>10}")
    for part, names in patients.items():
        print(f"{part:6}{len(getattr(split, part)):8}{len(names):10}")
    if split.by == "patient" and patients["train"] & patients["val"]:
        say("val: slices of training patients, there are too few patients to set whole ones aside")
    return 0
