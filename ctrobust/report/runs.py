"""Run folders as frozen values: which there are, and what lies in them."""

import csv
import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.parcel import is_parcel, require_sealed
from ctrobust.recipes.schema import Recipe
from ctrobust.report.result import Result, read_result

IMAGES = ("truth", "fbp_clean", "fbp_attacked", "f_clean", "f_attacked")
SINOGRAMS = ("y", "delta")


@dataclass(frozen=True)
class Examples:
    """Example slices of one run, images in x = 1 + HU/1000, or pictures in [0, 1].

    truth, fbp_clean, fbp_attacked, f_clean, f_attacked: (k, H, W), in colour (k, H, W, 3), both attacked ones under the
    δ made for f; y, delta: (k, views, bins) in mm of water; slice_index, patient, in_advance: (k,), the last whether
    it was chosen before anything was found, or else for being among the worst.
    """

    slice_index: tuple[int, ...]
    patient: tuple[str, ...]
    eps: float
    truth: NDArray[np.float64]
    fbp_clean: NDArray[np.float64]
    fbp_attacked: NDArray[np.float64]
    f_clean: NDArray[np.float64]
    f_attacked: NDArray[np.float64]
    y: NDArray[np.float64]
    delta: NDArray[np.float64]
    in_advance: tuple[bool, ...]


@dataclass(frozen=True)
class Run:
    """One run folder. `label`: its method, made unique on the page; `history`: column -> (rows,), none in a parcel.

    singles: the replicates it is the mean of, see `ctrobust.report.replicates.pool`.
    """

    folder: Path
    label: str
    recipe: Mapping[str, Any]
    recipe_text: str
    history: Mapping[str, NDArray[np.float64]]
    result: Result
    examples: Examples | None
    singles: tuple["Run", ...] = ()

    @property
    def each(self) -> tuple["Run", ...]:
        """The runs it stands for, itself where it is one."""
        return self.singles or (self,)

    def setting(self, section: str, key: str) -> Any:
        """A value of the recipe, None where it is not there."""
        inner = self.recipe.get(section)
        return inner.get(key) if isinstance(inner, dict) else None

    @property
    def settings(self) -> dict[str, Any]:
        """All of the recipe by dotted keys; what it does not name, as one of an earlier version, has its default."""
        return DEFAULTS | flattened(self.recipe)

    @property
    def scanned(self) -> bool:
        """Whether y is a scanner's; else of a matrix, which the seed has drawn."""
        return self.setting("scan", "geometry") in (None, "parallel", "fan")

    @property
    def trained_eps(self) -> float | None:
        """The size of the adversary met in training; None where δ played no part in it."""
        eps = self.setting("threat", "eps")
        meets_delta = np.isfinite(self.history.get("delta_rel", np.empty(0))).any()
        return float(eps) if meets_delta and isinstance(eps, int | float) else None


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys: {"scan": {"views": 36}} → {"scan.views": 36}."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


# With the lists of a recipe's file in place of tuples.
DEFAULTS = flattened(json.loads(json.dumps(asdict(Recipe()))))


def find_runs(given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The run folders and result files meant by `given`, each once, and the names of runs that have no result.

    A folder that holds several runs stands for all of them: `erm` first, then by name; a result file, which
    `evaluate --out` wrote, for itself. Raises UserError.
    """
    found: dict[Path, Path] = {}
    left_out = []
    for path in given:
        if path.suffix == ".json" and path.is_file():
            found.setdefault(path.resolve(), path)
            continue
        if not path.is_dir():
            raise UserError(
                f"{path}: no such folder; give the folder of a run (it holds recipe.yaml), or a RESULT.json"
            )
        runs, without_result = _runs_in(path)
        left_out += without_result
        for run in runs:
            found.setdefault(run.resolve(), run)
    if not found:
        raise UserError("no run given; give at least one run folder")
    return list(found.values()), left_out


def _runs_in(path: Path) -> tuple[list[Path], list[str]]:
    if (path / "result.json").exists():
        return [path], []
    inner = sorted(child for child in path.iterdir() if (child / "recipe.yaml").is_file())
    runs = [child for child in inner if (child / "result.json").is_file()]
    if runs:
        runs.sort(key=lambda run: (run.name != "erm", run.name))
        return runs, [child.name for child in inner if child not in runs]
    if not inner and not (path / "recipe.yaml").is_file():
        raise UserError(f"{path}: no run here (no recipe.yaml); give a folder that `ctrobust train` wrote")
    unmeasured = inner[0] if inner else path
    raise UserError(f"{unmeasured}/result.json: not found; run `ctrobust evaluate {unmeasured}` first")


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read every folder, or result file with what lies beside it, whole. Raises UserError: the file and the cure."""
    for folder in folders:
        if folder.is_dir() and is_parcel(folder):
            require_sealed(folder)
    results = [read_result(_of(folder, "result.json")) for folder in folders]
    labels = _labels([result.learned.method for result in results], folders)
    return [
        Run(folder, label, *_recipe(folder), _history(folder), result, _examples(folder))
        for folder, label, result in zip(folders, labels, results, strict=True)
    ]


def _of(run: Path, name: str) -> Path:
    """result.json, examples.npz or recipe.yaml of a run: in its folder, or beside a result file and named after it."""
    if run.is_dir():
        return run / (f"result.{name}" if name == "examples.npz" else name)
    beside = run if name == "result.json" else run.with_name(f"{run.stem}.{name}")
    # An earlier result, set aside in the run's own folder.
    return run.with_name(name) if name == "recipe.yaml" and not beside.exists() else beside


def _labels(methods: Sequence[str], folders: Sequence[Path]) -> list[str]:
    labels = [
        method if methods.count(method) == 1 else f"{method} ({folder.resolve().name})"
        for method, folder in zip(methods, folders, strict=True)
    ]
    return [
        label if labels.count(label) == 1 else f"{label} #{labels[: i + 1].count(label)}"
        for i, label in enumerate(labels)
    ]


def _recipe(folder: Path) -> tuple[Mapping[str, Any], str]:
    path = _of(folder, "recipe.yaml")
    cure = "copy the whole run folder, or train again"
    if not path.is_file():
        raise UserError(f"{path}: not found; {cure}")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as mistake:
        raise UserError(f"{path}: not readable as YAML ({mistake}); {cure}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{path}: not a mapping of settings; {cure}")
    recipe = _without_folders(recipe)
    return recipe, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def _without_folders(value: Any) -> Any:
    """A page is passed on, and paths carry names of people: of every one, whatever its key, the last part is left."""
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    # Of either system: the page may be drawn elsewhere than the run was trained.
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if isinstance(value, str) else value


def _history(folder: Path) -> Mapping[str, NDArray[np.float64]]:
    path = folder / "history.csv"
    if not folder.is_dir() or (not path.is_file() and is_parcel(folder)):
        return {}
    if not path.is_file():
        raise UserError(f"{path}: not found; copy the whole run folder, or train again")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            columns: dict[str, list[float]] = {name: [] for name in reader.fieldnames or ()}
            for row in reader:
                for name, cells in columns.items():
                    cells.append(_number(row.get(name), f"{path}: line {reader.line_num}, {name}"))
    except (OSError, UnicodeDecodeError, csv.Error) as mistake:
        raise UserError(f"{path}: not readable as CSV ({mistake}); train again") from None
    if "step" not in columns:
        raise UserError(f"{path}: no column `step`; copy the whole run folder, or train again")
    return {name: np.array(cells, dtype=np.float64) for name, cells in columns.items()}


def _number(cell: str | None, where: str) -> float:
    if cell is None or not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise UserError(f"{where}: {cell!r} is not a number; copy the file again, or train again") from None


def _examples(folder: Path) -> Examples | None:
    path = _of(folder, "examples.npz")
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not np.size(stored["slice_index"]):
                return None
            arrays = {name: stored[name] for name in ("slice_index", "patient", "eps", *IMAGES, *SINOGRAMS)}
            # An earlier version kept no others.
            everyone = np.ones(np.size(stored["slice_index"]), bool)
            arrays["in_advance"] = stored.get("in_advance", everyone)
        return _checked(arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as mistake:
        why = str(mistake).strip("'\"")
        raise UserError(f"{path}: malformed ({why}); run `ctrobust evaluate {folder}` again") from None


def _checked(arrays: Mapping[str, NDArray[Any]]) -> Examples:
    count = len(np.atleast_1d(arrays["slice_index"]))
    numbers = {name: np.asarray(arrays[name], dtype=np.float64) for name in (*IMAGES, *SINOGRAMS)}
    for names in (IMAGES, SINOGRAMS):
        shape = numbers[names[0]].shape
        colour = names == IMAGES and len(shape) == 4 and shape[3] == 3
        if not (len(shape) == 3 or colour) or shape[0] != count or 0 in shape[1:]:
            raise ValueError(f"{names[0]} has shape {shape}, ({count}, rows, columns) is needed")
        for name in names:
            if numbers[name].shape != shape:
                raise ValueError(f"{name} has shape {numbers[name].shape}, {names[0]} has {shape}")
            if not np.isfinite(numbers[name]).all():
                raise ValueError(f"{name} holds values that are not finite")
    patients = tuple(str(name) for name in np.atleast_1d(arrays["patient"]))
    in_advance = tuple(map(bool, np.atleast_1d(arrays["in_advance"])))
    for name, entries in (("patient", patients), ("in_advance", in_advance)):
        if len(entries) != count:
            raise ValueError(f"{name} has {len(entries)} entries, slice_index {count}")
    indices = tuple(int(index) for index in np.atleast_1d(arrays["slice_index"]))
    return Examples(indices, patients, float(arrays["eps"]), **numbers, in_advance=in_advance)
