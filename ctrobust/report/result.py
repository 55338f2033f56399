"""What `ctrobust evaluate` found, read back and checked: `result.json` as frozen values."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrobust.core.errors import UserError

SCHEMA = 1


@dataclass(frozen=True)
class Clean:
    """Quality without a perturbation, means over slices: dB, [0, 1], HU, and x² per pixel."""

    psnr_db: float
    ssim: float
    rmse_hu: float
    mse: float


@dataclass(frozen=True)
class Point:
    """One size `eps` = ‖δ‖/‖y‖: `rho`, `random` are means of Σ pixels (x̂ − x)²; `psnr_db` at the worst δ."""

    eps: float
    rho: float
    rho_ci95: tuple[float, float] | None
    random: float
    psnr_db: float


@dataclass(frozen=True)
class Check:
    """One test that the attack was competent."""

    name: str
    value: object
    limit: object
    ok: bool
    what: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Measured:
    """One reconstructor under its own attack; `curve` ascends in eps."""

    method: str
    clean: Clean
    curve: tuple[Point, ...]
    checks: tuple[Check, ...]

    def at(self, eps: float) -> Point | None:
        """The point of that size, None where it was not measured."""
        return next((point for point in self.curve if same_size(point.eps, eps)), None)

    def fold(self, eps: float) -> float | None:
        """ρ̂(eps)/ρ̂(0): how many times the clean error; None where one of them is missing or zero."""
        clean, attacked = self.at(0.0), self.at(eps)
        if clean is None or attacked is None or clean.rho <= 0:
            return None
        return attacked.rho / clean.rho

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)


@dataclass(frozen=True)
class Result:
    """A whole `result.json`: the learned f, FBP under the same attack where it is there, and their birth."""

    learned: Measured
    reference: Measured | None
    attack: Mapping[str, Any]
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]
    provenance: Mapping[str, Any]


def same_size(one: float, other: float) -> bool:
    """Whether two eps are the same number, whatever the decimal they were written as."""
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


def read_result(path: Path) -> Result:
    """Read `result.json`. Raises UserError on a missing file, field or number, with the cure."""
    if not path.is_file():
        raise UserError(f"{path}: not found; run `ctrobust evaluate {path.parent}` first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as mistake:
        raise UserError(
            f"{path}: not readable as JSON ({mistake}); run `ctrobust evaluate {path.parent}` again"
        ) from None
    whole = _Fields(path, content)
    if whole.content.get("schema") != SCHEMA:
        found = whole.content.get("schema")
        raise UserError(
            f"{path}: schema {found!r}, this version of ctrobust reads {SCHEMA}; evaluate with this version"
        )
    attack = whole.section("attack").content
    reference = None if whole.content.get("reference") is None else whole.section("reference")
    return Result(
        learned=_measured(whole, whole.section("attack")),
        reference=None if reference is None else _measured(reference, _attack_of(reference)),
        attack={key: value for key, value in attack.items() if key != "checks"},
        metrics=whole.section("metrics").content if "metrics" in whole.content else {},
        data=whole.section("data").content,
        provenance=whole.section("provenance").content,
    )


@dataclass(frozen=True)
class _Fields:
    """A mapping of the file that can say which key is not as it should be."""

    path: Path
    content: Any
    where: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.content, dict):
            raise self.wrong(self.where.rstrip(".") or "the file", "not a mapping")

    def wrong(self, key: str, what: str) -> UserError:
        return UserError(f"{self.path}: {key}: {what}; run `ctrobust evaluate {self.path.parent}` again")

    def get(self, key: str) -> Any:
        if key not in self.content:
            raise self.wrong(self.where + key, "missing")
        return self.content[key]

    def section(self, key: str) -> "_Fields":
        return _Fields(self.path, self.get(key), f"{self.where}{key}.")

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.wrong(self.where + key, f"{value!r} is not a text")
        return value

    def number(self, key: str) -> float:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(self.where + key, f"{value!r} is not a finite number")
        return float(value)


def _attack_of(fields: _Fields) -> _Fields:
    return fields.section("attack") if "attack" in fields.content else fields


def _measured(fields: _Fields, attack: _Fields) -> Measured:
    curve = fields.get("curve")
    if not isinstance(curve, list) or not curve:
        raise fields.wrong(f"{fields.where}curve", "not a list of at least one row")
    rows = [_Fields(fields.path, row, f"{fields.where}curve[{i}].") for i, row in enumerate(curve)]
    checks = attack.section("checks") if attack.content.get("checks") is not None else None
    clean = fields.section("clean")
    return Measured(
        method=fields.text("method"),
        clean=Clean(*(clean.number(key) for key in ("psnr_db", "ssim", "rmse_hu", "mse"))),
        curve=tuple(sorted(map(_point, rows), key=lambda point: point.eps)),
        checks=() if checks is None else tuple(_check(name, checks.section(name)) for name in checks.content),
    )


def _point(row: _Fields) -> Point:
    interval = row.get("rho_ci95")
    if interval is not None:
        if not isinstance(interval, list) or len(interval) != 2:
            raise row.wrong(f"{row.where}rho_ci95", f"{interval!r} is neither null nor [low, high]")
        bounds = _Fields(row.path, {"rho_ci95[0]": interval[0], "rho_ci95[1]": interval[1]}, row.where)
        interval = bounds.number("rho_ci95[0]"), bounds.number("rho_ci95[1]")
    eps = row.number("eps")
    if eps < 0:
        raise row.wrong(f"{row.where}eps", f"{eps!r} is negative")
    return Point(eps, row.number("rho"), interval, row.number("random"), row.number("psnr_db"))


def _check(name: str, fields: _Fields) -> Check:
    ok = fields.get("ok")
    if not isinstance(ok, bool):
        raise fields.wrong(f"{fields.where}ok", f"{ok!r} is neither true nor false")
    content = fields.content
    return Check(name, content.get("value"), content.get("limit"), ok, str(content.get("what", "")))
