"""Train a grid of recipes, attack each, and draw one report of all.

Repeat the command to go on where it stopped: what is done is skipped. To spread the points over machines, give each
--part 1/4, --part 2/4 and so on with the same --out, or copy the folders together after; then repeat the command
without --part for the report.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say


def configure(parser: ArgumentParser) -> None:
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    parser.add_argument(
        "assignments",
        nargs="*",
        metavar="key=a,b,c",
        help="any key of the recipe, dotted, with all its values; eps is threat.eps",
    )
    parser.add_argument("--data", metavar="STORE.h5", type=Path, help="default: the recipe's")
    parser.add_argument("--split", metavar="SPLIT.json", type=Path, help="default: by patient, with the seed")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: runs/sweep-RECIPE")
    parser.add_argument("--part", metavar="I/N", type=_part, help="only every N-th point, from the I-th on")
    parser.add_argument("--dry-run", action="store_true", help="list the points, and stop")


def run(arguments: Namespace) -> int:
    """Run the points of this part; print the page's path, or with --dry-run the points."""
    from ctrobust.report import write_report
    from ctrobust.sweep import make_grid, run_sweep

    points = make_grid(arguments.recipe, arguments.assignments, store=arguments.data, split=arguments.split)
    first, step = arguments.part or (1, 1)
    mine = points[first - 1 :: step]
    if arguments.dry_run:
        print("\n".join(point.name for point in mine))
        return 0
    out = arguments.out or Path("runs") / f"sweep-{Path(arguments.recipe).stem}"
    if (out / "recipe.yaml").exists() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out}: is a run or a file; give a folder of its own to --out")
    try:
        failed = run_sweep(mine, out)
    except KeyboardInterrupt:
        say("stopped; repeat the command to go on where it stopped")
        return 130
    judged = sum((out / point.name / "result.json").exists() for point in points)
    if judged == len(points) or (judged and not arguments.part):
        print(write_report([out], out))
    else:
        say(f"{judged} of {len(points)} points are done; no report yet")
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise UserError(f"{len(failed)} of {len(mine)} points failed: {reasons}")
    return 0


def _part(text: str) -> tuple[int, int]:
    first, slash, step = text.partition("/")
    if not (slash and first.isdigit() and step.isdigit() and 1 <= int(first) <= int(step)):
        raise ArgumentTypeError(f"{text!r}: give I/N, such as 1/4 for the first of four")
    return int(first), int(step)
