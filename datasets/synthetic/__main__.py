"""`python -m ctrobust_datasets.synthetic OUT`: write the embedded data set where one can look at it."""

import argparse
from pathlib import Path

from . import write_dicom


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ctrobust_datasets.synthetic", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for one folder a patient; made where there is none")
    for name, usual in (("patients", 24), ("slices", 6), ("size", 256), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"default {usual}")
    arguments = parser.parse_args()
    try:
        write_dicom(
            arguments.out,
            patients=arguments.patients,
            slices=arguments.slices,
            size=arguments.size,
            seed=arguments.seed,
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
