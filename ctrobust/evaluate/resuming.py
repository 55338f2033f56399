"""An interrupted evaluation goes on where it stopped: what its pieces gave is kept until the result is written."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctrobust.core.files import replacing
from ctrobust.evaluate.anatomy import RegionSums
from ctrobust.evaluate.curve import Errors
from ctrobust.evaluate.examples import Shown
from ctrobust.evaluate.judging import Anatomy, Findings, Judged
from ctrobust.evaluate.metrics import Quality

Arrays = dict[str, Any]
Keep = Callable[[Callable[[], Any], Any], Any]
"""keep(work, what) is what `work` gives, or gave where something is kept under the name `what`."""


def anew(work: Callable[[], Any], what: Any) -> Any:
    """`Keep` where nothing is kept."""
    return work()


def part_path(result: Path) -> Path:
    """result.json → result.part, a folder"""
    return result.with_suffix(".part")


def forget(result: Path) -> None:
    """The result is written: the batches of it, and of settings given up, are not needed any more."""
    shutil.rmtree(part_path(result), ignore_errors=True)


@dataclass(frozen=True)
class Kept:
    """Findings in files of `folder` named by what decides them: `decides`, all they depend on, and what they are of.

    A file of other weights, settings, versions or threads has another name, and is left alone.
    """

    folder: Path
    decides: Any

    def __call__(self, work: Callable[[Sequence[int]], Findings], indices: Sequence[int]) -> Findings:
        """What `work` gives for the batch, or gave."""
        path = self._path(list(indices), ".npz")
        found = _read(path)
        if found is None:
            found = work(indices)
            with replacing(path) as part, part.open("wb") as stream:
                np.savez(stream, **_as_arrays(found))
        return found

    def plain(self, work: Callable[[], Any], what: Any) -> Any:
        """A `Keep` of what JSON can hold, lists in place of tuples."""
        path = self._path(what, ".json")
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):  # not there, or damaged
            text = json.dumps(work())
        with replacing(path) as part:
            part.write_text(text)
        return json.loads(text)

    def _path(self, what: Any, suffix: str) -> Path:
        text = json.dumps([self.decides, what], sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}{suffix}"


def _read(path: Path) -> Findings | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _from_arrays(dict(stored))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # damaged: judged anew and replaced


def _as_arrays(found: Findings) -> Arrays:
    arrays: Arrays = {"shown": np.asarray(found.shown.indices, np.int64), "delta": found.shown.delta}
    for name, arm in found.arms.items():
        arrays |= {
            f"{name}.clean": np.asarray(arm.clean, np.float64),
            f"{name}.eps": np.asarray([each.eps for each in arm.attacked]),
            f"{name}.worst": np.stack([each.worst for each in arm.attacked]),
            f"{name}.random": np.stack([each.random for each in arm.attacked]),
            f"{name}.pixels": np.asarray(arm.pixels),
        }
    for when, sums in found.anatomy._asdict().items():
        arrays |= {f"anatomy.{when}.{region}": np.stack(each) for region, each in sums.items()}
    return arrays


def _from_arrays(arrays: Arrays) -> Findings:
    def arm(name: str) -> Judged:
        rows = zip(*(arrays[f"{name}.{part}"] for part in ("eps", "worst", "random")), strict=True)
        return Judged(
            [Quality(*slice_) for slice_ in arrays[f"{name}.clean"].tolist()],
            [Errors(float(eps), worst, random) for eps, worst, random in rows],
            int(arrays[f"{name}.pixels"]),
        )

    def anatomy(when: str) -> dict[str, RegionSums]:
        start = f"anatomy.{when}."
        return {
            key.removeprefix(start): RegionSums(*each)
            for key, each in arrays.items()
            if key.startswith(start)
        }

    names = [key.removesuffix(".pixels") for key in arrays if key.endswith(".pixels")]
    shown = Shown(arrays["shown"].tolist(), arrays["delta"])
    return Findings(
        {name: arm(name) for name in names}, shown, Anatomy(anatomy("clean"), anatomy("attacked"))
    )
