"""Draw one self-contained page, report.html, and its figures from the result files of one or more runs."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ctrobust report`."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="the folder of a run that was evaluated, one that holds several, or a RESULT.json of `evaluate --out`",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the page and figures/ go"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path."""
    # matplotlib and jinja2 take a second to load: `--help` must not wait for them.
    from ctrobust.report import write_report

    print(write_report(arguments.runs, arguments.out))
    return 0
