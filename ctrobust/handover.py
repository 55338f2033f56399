"""A run made ready to be handed over: its weights, what made them, what they do, and nothing of whose data they saw."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ctrobust.core import parcel
from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.networks.checkpoint import load_checkpoint, weights_sha256
from ctrobust.networks.weights import save_weights
from ctrobust.recipes import Recipe, read_recipe, write_recipe
from ctrobust.reconstruct import load
from ctrobust.reconstruct.load import run_folder
from ctrobust.report.card import render_card
from ctrobust.report.runs import read_runs
from ctrobust.store.split import split_record

HANDED_OVER = (
    "schema",
    "method",
    "weights_sha256",
    "clean",
    "curve",
    "reference",
    "controls",
    "adversaries",
    "anatomy",
    "examinations",
    "attack",
    "metrics",
    "data",
    "provenance",
)
"""Of result.json: what is known to say nothing about a single patient, but for what lies in it by slice."""

BY_SLICE = ("slices", "worst")


def export_run(run: Path, out: Path, *, licence: str | None = None) -> str:
    """Write the parcel of an evaluated run to `out`, a new folder or a new .zip; returns the SHA-256 of its weights.

    Neither optimiser nor adversary, no path, no pseudonym, no slice: of data and split only hashes and counts.
    Raises UserError where the run is not evaluated, or `out` is there.
    """
    folder = run_folder(run)
    if parcel.is_parcel(folder):
        raise UserError(f"{folder}: was handed over itself; pass it on as it is")
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already; give another --out")
    result = _result(folder)
    with _new(out) as made:
        save_weights(made / parcel.WEIGHTS, load_checkpoint(folder / "checkpoints" / "best"))
        recipe = read_recipe(folder / parcel.RECIPE)
        write_recipe(_anonymous(recipe, result), made / parcel.RECIPE)
        (made / parcel.RESULT).write_text(json.dumps(result, indent=1) + "\n")
        parcel.seal(made)
        digest = parcel.sealed(made)[parcel.WEIGHTS]
        facts = _facts(folder) | {"weights_sha256": digest, "licence": licence}
        (made / parcel.CARD).write_text(render_card(read_runs([made])[0], facts), encoding="utf-8")
    return digest


def _result(folder: Path) -> dict[str, Any]:
    """What was found of these weights; read whole by the report later, which says what is malformed."""
    path = folder / parcel.RESULT
    cure = f"run `ctrobust evaluate {folder}` first"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path}: not found or not readable; {cure}") from None
    if found.get("weights_sha256") != weights_sha256(load(folder).network):
        raise UserError(f"{path}: is not of the weights in checkpoints/best; {cure}")
    return {key: _in_all(found[key]) for key in HANDED_OVER if key in found}


def _in_all(figures: Any) -> Any:
    """Without what is told of each slice by itself, at any depth."""
    if isinstance(figures, dict):
        return {key: _in_all(value) for key, value in figures.items() if key not in BY_SLICE}
    return [_in_all(each) for each in figures] if isinstance(figures, list) else figures


def _anonymous(recipe: Recipe, result: dict[str, Any]) -> Recipe:
    """Files by their hash. What was null stays null, and means the embedded data or a division by the seed."""
    data, told = recipe.data, result["data"]
    store = data.store and f"sha256:{told['store_sha256']}"
    split = data.split and f"sha256:{told['split_sha256']}"
    # A method that is not ours may take files.
    options = {
        key: "withheld" if isinstance(value, str) and os.sep in value else value
        for key, value in recipe.options.items()
    }
    return replace(recipe, data=replace(data, store=store, split=split), options=options)


def _facts(folder: Path) -> dict[str, Any]:
    split = split_record(folder / "split.json")
    best, last = (load_checkpoint(folder / "checkpoints" / which) for which in ("best", "last"))
    return {
        "chosen": best["step"],
        "trained": last["step"],
        "seconds": last["seconds"],
        "n_train": len(split.train),
        "n_val": len(split.val),
    }


@contextmanager
def _new(out: Path) -> Iterator[Path]:
    """A folder to fill, which is `out` or goes into it once complete."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch) / out.stem
        made.mkdir()
        yield made
        if out.suffix != ".zip":
            made.rename(out)
            return
        with replacing(out) as part:
            parcel.pack(made, part)
