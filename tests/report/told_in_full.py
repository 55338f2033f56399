"""A result with all that an evaluation may tell beyond the contract."""

from copy import deepcopy
from typing import Any

import numpy as np


def per_slice(found: dict[str, Any], seed: int, patients: int = 8) -> dict[str, Any]:
    """Errors a slice, 46 of them, whose means are the curve's; what is hard is hard for every method."""
    hard = np.random.default_rng(0).gamma(6, 1 / 6, patients)[np.arange(46) % patients]
    own = hard * np.exp(0.1 * np.random.default_rng(seed).standard_normal(46))
    share = own / own.mean()
    return {
        "index": list(range(46)),
        "patient": [f"P{i % patients}" for i in range(46)],
        "mse": (found["clean"]["mse"] * share).tolist(),
        "ssim": [found["clean"]["ssim"]] * 46,
        "worst": {str(row["eps"]): (row["rho"] * share).tolist() for row in found["curve"]},
    }


def in_full(result: dict[str, Any], recipe: dict[str, Any]) -> None:
    """All that an evaluation may tell beyond the contract."""
    result["slices"] = per_slice(result, sum(map(ord, result["method"])))
    result["attack"]["competent"] = True
    result["controls"] = {name: deepcopy(result["reference"]) for name in ("fbp", "tv")}
    result["reference"]["slices"] = per_slice(result["reference"], 0)
    for number, (name, arm) in enumerate(result["controls"].items()):
        arm["slices"] = per_slice(arm, number)
        for row in arm["curve"]:
            row["rho"] *= 0.9 if name == "tv" else 1.0
    row = next(row for row in result["curve"] if row["eps"] == 0.02)
    result["adversaries"] = [
        {
            "name": "universal",
            "budget": "l2",
            "eps": 0.02,
            "rho": 0.5 * row["rho"],
            "rho_ci95": [1.0, 2.0],
            "size": 0.02,
        },
        {
            "name": "momentum",
            "budget": "l2",
            "eps": 0.02,
            "rho": 1.2 * row["rho"],
            "rho_ci95": None,
            "size": 0.02,
        },
        {"name": "jitter", "budget": "box", "eps": None, "rho": row["rho"], "rho_ci95": None, "size": 0.013},
    ]
    result["anatomy"] = [
        {
            "region": region,
            "hu": hu,
            "pixels": 0.25,
            "n_slices": 46,
            "clean": {"rmse_hu": 21.4, "rmse_hu_ci95": None, "bias_hu": -1.5, "share": 0.2},
            "attacked": {"rmse_hu": 85.6, "rmse_hu_ci95": [80, 90], "bias_hu": 12.0, "share": 0.3},
        }
        for region, hu in (("body", [None, None]), ("lung", [None, -500.0]), ("bone", [240.0, None]))
    ]
