"""Measure a run's worst-case error by projected gradient ascent, with random noise as control."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained run")
    parser.add_argument("--data", metavar="STORE.h5", type=Path, help="default: the run's own")
    parser.add_argument("--split", metavar="SPLIT.json", type=Path, help="default: the run's own")
    parser.add_argument("--eps", metavar="E,E,…", type=_radii, help="default: the recipe's evaluate.eps")
    parser.add_argument("--out", metavar="RESULT.json", type=Path, help="default: RUN/result.json")


def run(arguments: Namespace) -> int:
    if arguments.out and arguments.out.exists():
        raise UserError(f"{arguments.out}: exists already; give another --out")

    from dataclasses import replace

    import torch

    from ctrobust.evaluate.run import evaluate_run, write_evaluation
    from ctrobust.experiment import open_experiment
    from ctrobust.recipes import read_recipe
    from ctrobust.reconstruct import load
    from ctrobust.reconstruct.load import run_folder

    folder = run_folder(arguments.run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    f = load(folder, device=device)
    recipe = read_recipe(folder / "recipe.yaml")
    if arguments.data:
        recipe = replace(recipe, data=replace(recipe.data, store=str(arguments.data)))
    split = arguments.split or folder / "split.json"
    experiment = open_experiment(recipe, split=split, device=device)
    result, examples = evaluate_run(f, experiment, split, eps=arguments.eps)
    write_evaluation(result, examples, arguments.out or _make_way(folder / "result.json"))
    print(as_table(result))
    return 0


def as_table(result: dict[str, Any]) -> str:
    """The curve in plain columns, f beside FBP."""
    method, reference = result["method"], result["reference"]["method"]
    lines = [f"{'eps':>7} {'rho ' + method:>14} {'random':>10} {'psnr dB':>8} {'rho ' + reference:>14}"]
    for row, other in zip(result["curve"], result["reference"]["curve"], strict=True):
        lines.append(
            f"{row['eps']:7.3%} {row['rho']:14.2f} {row['random']:10.2f} {row['psnr_db']:8.2f} {other['rho']:14.2f}"
        )
    return "\n".join(lines)


def _radii(text: str) -> list[float]:
    radii = [float(part) for part in text.split(",")]
    if not all(0 <= radius < float("inf") for radius in radii):
        raise ValueError
    return radii


def _make_way(result: Path) -> Path:
    """Keep what an earlier evaluation found: result.json becomes result-1.json, and so on."""
    from ctrobust.evaluate.run import examples_path

    if result.exists():
        number = 1
        while (kept := result.with_name(f"result-{number}.json")).exists():
            number += 1
        for old, new in ((result, kept), (examples_path(result), examples_path(kept))):
            if old.exists():
                old.rename(new)
        say(f"the earlier result is kept as {kept}")
    return result
