"""Run folders as `ctrobust train` and `ctrobust evaluate` leave them: made up, of the right shape."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

EPS = (0.0, 0.005, 0.01, 0.02, 0.04)
# ρ̂ at EPS, the random control at 2 %, clean PSNR: the trial on real CT in the units of the contract.
TRIAL = {
    "fbp": ((36.0, 66.0, 135.0, 405.0, 1473.0), 101.0, 26.6),
    "erm": ((19.6, 34.0, 83.0, 369.0, 1491.0), 42.0, 29.2),
    "minmax": ((18.8, 28.0, 45.0, 115.0, 795.0), 33.0, 29.4),
    "pgd": ((18.6, 25.0, 35.0, 65.0, 30064.0), 31.0, 29.4),
    "jitter": ((19.2, 32.0, 60.0, 218.0, 1101.0), 23.0, 29.3),
}
SIZE, VIEWS = 96, 36


def measured(method: str, *, intervals: bool = True) -> dict[str, Any]:
    rho, random, psnr = TRIAL.get(method, TRIAL["minmax"])
    curve = [
        {
            "eps": eps,
            "rho": value,
            "rho_ci95": [0.8 * value, 1.3 * value] if intervals else None,
            "random": rho[0] + (random - rho[0]) * (eps / 0.02) ** 2,
            "psnr_db": psnr - 10 * float(np.log10(value / rho[0])),
        }
        for eps, value in zip(EPS, rho, strict=True)
    ]
    clean = {"psnr_db": psnr, "ssim": 0.871, "rmse_hu": 1000 * 10 ** (-psnr / 20), "mse": 10 ** (-psnr / 10)}
    return {"method": method, "clean": clean, "curve": curve}


def result(method: str) -> dict[str, Any]:
    check = {"value": 0.9973, "limit": 0.99, "ok": True, "what": "share of the exact increase on a linear f"}
    doubled = {
        "value": 0.008,
        "limit": 0.02,
        "ok": True,
        "what": "relative change of ρ̂ when the steps are doubled",
    }
    return {
        "schema": 1,
        **measured(method),
        "reference": measured("fbp"),
        "attack": {
            "name": "projected gradient ascent",
            "steps": 100,
            "restarts": 3,
            "precision": "float32",
            "seed": sum(map(ord, method)),
            "checks": {"exact_linear": check, "doubled_steps": doubled},
        },
        "metrics": {"psnr": "peak 1", "ssim": "Gaussian, sigma 1.5"},
        "data": {"store_sha256": "5a" * 32, "split_sha256": "c3" * 32, "n_slices": 46, "n_patients": 8},
        "provenance": {
            "version": "0.1.0",
            "commit": "3afc81a",
            "seed": 0,
            "device": "cpu",
            "threads": 2,
            "torch": "2.6.0",
            "astra": "2.5.0",
        },
    }


def recipe(method: str) -> dict[str, Any]:
    return {
        "method": method,
        "seed": 0,
        "data": {"store": "/home/jane.doe/store.h5", "split": None, "size": SIZE},
        "scan": {"geometry": "parallel", "views": VIEWS, "pixel_mm": 3.1, "photons": None},
        "network": {"name": "fbpconvnet", "base_channels": 16, "levels": 5},
        "train": {"steps": 300, "batch_size": 8, "lr": 1.0e-3, "precision": "bf16", "checkpoint_every": 50},
        "threat": {"eps": 0.02},
        "evaluate": {
            "eps": list(EPS),
            "steps": 100,
            "restarts": 3,
            "transfer_from": "/home/jane.doe/runs/surrogate/",
        },
        "options": {"atlas": r"C:\Users\jane.doe\atlas.h5"},
    }


def history(method: str) -> str:
    names = "step,epoch,seconds,lr,clean,clean_eval,adversarial,delta_rel,outside,val_clean,val_adversarial"
    noise = np.random.default_rng(7)
    rows = []
    for step in range(1, 301):
        clean = (18 + 900 * np.exp(-step / 18)) * np.exp(0.12 * noise.standard_normal())
        cells = [step, step // 12, 0.4 * step, 1e-3, clean, clean * (1 + 9 * np.exp(-step / 12))]
        met = method not in ("erm", "weight_decay")
        cells += [clean * 2.3, 0.02 * (1 - np.exp(-step / 20)), np.exp(-step / 40)] if met else ["", "", ""]
        cells += [clean * 1.1, clean * 2.6 if met else ""] if step % 50 == 0 else ["", ""]
        rows.append(",".join(str(cell) for cell in cells))
    return "\n".join([names, *rows]) + "\n"


def phantom(seed: int) -> NDArray[np.float64]:
    """A body with two lungs, a spine and some organs, in x = 1 + HU/1000."""
    noise = np.random.default_rng(seed)
    v, u = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = np.zeros((SIZE, SIZE))
    ellipses = [(0, 0.05, 0.85, 0.62, 1.03), (0, 0.45, 0.13, 0.12, 1.55), (0.05, -0.1, 0.2, 0.17, 1.06)]
    ellipses += [(-0.42, 0.0, 0.25, 0.36, 0.2), (0.42, 0.0, 0.25, 0.36, 0.2), (-0.4, 0.1, 0.05, 0.05, 1.05)]
    for x, y, a, b, value in ellipses:
        shift = 0.03 * noise.standard_normal(2)
        image[((u - x - shift[0]) / a) ** 2 + ((v - y - shift[1]) / b) ** 2 < 1] = value
    return gaussian_filter(image, 0.8)


def sinogram(image: NDArray[np.float64]) -> NDArray[np.float64]:
    angles = 180 * np.arange(VIEWS) / VIEWS
    return 3.1 * np.stack([rotate(image, angle, reshape=False, order=1).sum(axis=0) for angle in angles])


def examples(method: str, count: int = 2) -> dict[str, Any]:
    noise = np.random.default_rng(sum(map(ord, method)))
    truth = np.stack([phantom(seed) for seed in range(count)])
    y = np.stack([sinogram(image) for image in truth])

    def spoiled(error: float, grain: float) -> NDArray[np.float64]:
        field = gaussian_filter(noise.standard_normal(truth.shape), (0, grain, grain / 2))
        return truth + field * np.sqrt(error / (field**2).sum(axis=(1, 2), keepdims=True))

    delta = gaussian_filter(noise.standard_normal(y.shape), (0, 2, 1))
    delta *= 0.02 * np.sqrt((y**2).sum((1, 2)) / (delta**2).sum((1, 2)))[:, None, None]
    rho = TRIAL.get(method, TRIAL["minmax"])[0]
    return {
        "slice_index": np.array([17, 203][:count]),
        "patient": np.array(["P3f81", "Pa07c"][:count]),
        "pixel_mm": np.float64(3.1),
        "eps": np.float64(0.02),
        "truth": truth,
        "fbp_clean": spoiled(36, 1),
        "fbp_attacked": spoiled(160, 1),
        "f_clean": spoiled(rho[0], 2),
        "f_attacked": spoiled(rho[3], 3),
        "y": y,
        "delta": delta,
    }


@pytest.fixture(scope="session")
def stored_examples() -> Callable[[str], dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = {}

    def of(method: str) -> dict[str, Any]:
        if method not in kept:
            kept[method] = examples(method)
        return kept[method]

    return of


@pytest.fixture(scope="session")
def write_run(stored_examples: Callable[[str], dict[str, Any]]) -> Callable[..., Path]:
    """write_run(folder, "erm", change): `change(result, recipe)` may spoil both first.

    `slices`: how many examples; `arrays` take the place of some of theirs.
    """

    def write(
        folder: Path,
        method: str,
        change: Callable[[dict[str, Any], dict[str, Any]], object] | None = None,
        arrays: dict[str, Any] | None = None,
        slices: int = 2,
    ) -> Path:
        folder.mkdir(parents=True)
        found, settings = result(method), recipe(method)
        if change is not None:
            change(found, settings)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        (folder / "result.json").write_text(json.dumps(found))
        (folder / "history.csv").write_text(history(method))
        kept = {name: a[:slices] if np.ndim(a) else a for name, a in stored_examples(method).items()}
        np.savez(folder / "result.examples.npz", **{**kept, **(arrays or {})})
        return folder

    return write


@pytest.fixture
def make_run(tmp_path: Path, write_run: Callable[..., Path]) -> Callable[..., Path]:
    """make_run("erm", change, name="run") writes tmp_path/runs/run."""

    def make(method: str, *changes: Any, name: str | None = None, **more: Any) -> Path:
        return write_run(tmp_path / "runs" / (name or method), method, *changes, **more)

    return make
