"""What `ctrobust evaluate` found, read back and checked: `result.json` as frozen values."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.report.fields import Fields
from ctrobust.report.numbers import percent

SCHEMA = 1


@dataclass(frozen=True)
class Clean:
    """Quality without a perturbation, means over slices: dB, [0, 1], HU (None of pictures), and x² per pixel."""

    psnr_db: float
    ssim: float
    rmse_hu: float | None
    mse: float

    @property
    def rmse(self) -> float:
        """In HU; of pictures √mse."""
        return math.sqrt(self.mse) if self.rmse_hu is None else self.rmse_hu

    def rmse_written(self) -> str:
        return f"{self.rmse:.4f}" if self.rmse_hu is None else f"{self.rmse:.1f}"


@dataclass(frozen=True)
class Point:
    """One size `eps` = ‖δ‖/‖y‖: `rho`, `random` are means of Σ pixels (x̂ − x)²; `psnr_db` at the worst δ.

    noise_share: of a whitened budget k/√n, the length of δ against that of a draw of the photon noise.
    """

    eps: float
    rho: float
    rho_ci95: tuple[float, float] | None
    random: float
    psnr_db: float
    noise_share: float | None = None


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
class Slices:
    """Errors a slice each: its index in the store, whose it is, and {eps: (n,) Σ (x̂ − x)² at the worst δ}."""

    index: tuple[int, ...]
    patient: tuple[str, ...]
    worst: Mapping[float, NDArray[np.float64]]

    def at(self, eps: float) -> NDArray[np.float64] | None:
        """The errors at that size, None where it was not kept."""
        # Sizes are keys here, written with six digits.
        close = (errors for size, errors in self.worst.items() if math.isclose(size, eps, rel_tol=1e-5))
        return next(close, None)


@dataclass(frozen=True)
class Adversary:
    """Another adversary on the same reconstructor: `eps` as its budget counts, if it has one; `size`: mean ‖δ‖/‖y‖.

    worst: (n,) Σ (x̂ − x)² of every slice, empty where it was not kept.
    """

    name: str
    budget: str
    eps: float | None
    rho: float
    rho_ci95: tuple[float, float] | None
    size: float | None
    worst: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Measured:
    """One reconstructor under its own attack; `curve` ascends in eps."""

    method: str
    clean: Clean
    curve: tuple[Point, ...]
    checks: tuple[Check, ...]
    slices: Slices | None = None

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
    controls: tuple[Measured, ...] = ()
    adversaries: tuple[Adversary, ...] = ()
    anatomy: tuple[Mapping[str, Any], ...] = ()
    examinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def in_hu(self) -> bool:
        """Whether it is of CT slices; pictures have no HU."""
        return self.learned.clean.rmse_hu is not None

    @property
    def rmse_head(self) -> str:
        return "RMSE, HU" if self.in_hu else "RMSE"

    @property
    def relative(self) -> bool:
        """Whether eps is ‖δ‖/‖y‖, as it is unless the attack's budget says another thing."""
        return self.attack.get("budget", "l2") == "l2" and self.attack.get("relative", True) is not False

    @property
    def symbol(self) -> str:
        """What eps is, for the axis and the head of a table."""
        return "ε = ‖δ‖ / ‖y‖" if self.relative else f"ε ({self.attack.get('ball', 'of another budget')})"

    def written(self, eps: float) -> str:
        """A size as text: 2 % of ‖y‖, or the plain number of another budget."""
        return percent(eps) if self.relative else f"ε = {eps:.4g}"

    def sized(self, eps: float) -> str:
        """The same with its letter."""
        return f"ε = {percent(eps)}" if self.relative else self.written(eps)

    @property
    def references(self) -> tuple[Measured, ...]:
        """All that was not learned: FBP, and the controls; FBP twice where tuning gave it another window."""
        if self.reference is None:
            return self.controls
        first = self.reference
        others = tuple(
            replace(control, method=f"{control.method}, tuned") if control.method == first.method else control
            for control in self.controls
            if not (control.method == first.method and control.curve == first.curve)
        )
        return (first, *others)


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
    whole = Fields(path, content)
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
        controls=_controls(whole),
        adversaries=tuple(map(_adversary, whole.rows("adversaries"))) if whole.holds("adversaries") else (),
        anatomy=tuple(map(_region, whole.rows("anatomy"))) if whole.holds("anatomy") else (),
        examinations=_examinations(whole),
    )


def _attack_of(fields: Fields) -> Fields:
    return fields.section("attack") if "attack" in fields.content else fields


def _controls(whole: Fields) -> tuple[Measured, ...]:
    """Under their names; their attack was that of the run unless they say another."""
    if not whole.holds("controls"):
        return ()
    arms = whole.section("controls")
    sections = [(name, arms.section(name)) for name in arms.content]
    return tuple(_measured(arm, _attack_of(arm), method=name) for name, arm in sections)


def _measured(fields: Fields, attack: Fields, method: str | None = None) -> Measured:
    if not fields.listed("curve"):
        raise fields.wrong(f"{fields.where}curve", "not a list of at least one row")
    clean = fields.section("clean")
    return Measured(
        method=fields.text("method") if method is None else method,
        clean=Clean(
            psnr_db=clean.number("psnr_db"),
            ssim=clean.number("ssim"),
            rmse_hu=clean.number("rmse_hu") if clean.get("rmse_hu") is not None else None,
            mse=clean.number("mse"),
        ),
        curve=tuple(sorted(map(_point, fields.rows("curve")), key=lambda point: point.eps)),
        checks=_checks(attack),
        slices=_slices(fields.section("slices")) if fields.holds("slices") else None,
    )


def _point(row: Fields) -> Point:
    interval = row.interval("rho_ci95")
    eps = row.number("eps")
    if eps < 0:
        raise row.wrong(f"{row.where}eps", f"{eps!r} is negative")
    share = row.number("noise_share") if row.holds("noise_share") else None
    return Point(eps, row.number("rho"), interval, row.number("random"), row.number("psnr_db"), share)


def _checks(attack: Fields) -> tuple[Check, ...]:
    checks = attack.section("checks") if attack.holds("checks") else None
    found = () if checks is None else tuple(_check(name, checks.section(name)) for name in checks.content)
    if attack.content.get("competent") is False and all(check.ok for check in found):
        return (*found, Check("competent", False, True, False, "the evaluation’s own verdict on its attack"))
    return found


def _check(name: str, fields: Fields) -> Check:
    ok = fields.get("ok")
    if not isinstance(ok, bool):
        raise fields.wrong(f"{fields.where}ok", f"{ok!r} is neither true nor false")
    content = fields.content
    return Check(name, content.get("value"), content.get("limit"), ok, str(content.get("what", "")))


def _slices(fields: Fields) -> Slices | None:
    """None where slices, patients or worst cases are not kept."""
    if not all(fields.holds(key) for key in ("index", "patient", "worst")):
        return None
    index = tuple(int(number) for number in fields.numbers("index"))
    patient = tuple(map(str, fields.listed("patient")))
    by_size = fields.section("worst")
    worst = {_size(by_size, key): by_size.numbers(key) for key in by_size.content}
    for what, length in (
        ("patient", len(patient)),
        *((f"worst[{eps:g}]", len(e)) for eps, e in worst.items()),
    ):
        if length != len(index):
            raise fields.wrong(f"{fields.where}{what}", f"{length} entries, index has {len(index)}")
    return Slices(index, patient, worst) if index else None


def _size(fields: Fields, key: str) -> float:
    try:
        return float(key)
    except ValueError:
        raise fields.wrong(f"{fields.where}{key}", f"{key!r} is not a size ε") from None


def _adversary(row: Fields) -> Adversary:
    return Adversary(
        name=row.text("name"),
        budget=str(row.content.get("budget") or "–"),
        eps=row.number("eps") if row.holds("eps") else None,
        rho=row.number("rho"),
        rho_ci95=row.interval("rho_ci95") if "rho_ci95" in row.content else None,
        size=row.number("size") if row.holds("size") else None,
        worst=row.numbers("worst") if row.holds("worst") else np.empty(0),
    )


def _examinations(whole: Fields) -> Mapping[str, Mapping[str, Any]]:
    """By name; what each holds is read where it is shown."""
    if not whole.holds("examinations"):
        return {}
    found = whole.section("examinations")
    return {name: found.section(name).content for name in found.content}


def _region(row: Fields) -> Mapping[str, Any]:
    """A row of `ctrobust.evaluate.anatomy`; what has no pixels has no figure."""
    if row.holds("hu"):
        low, high = row.listed("hu")
        hu = tuple(None if each is None else float(each) for each in (low, high))
    else:
        hu = (None, None)
    parts = {
        part: {
            key: row.section(part).number(key) if row.section(part).holds(key) else None
            for key in ("rmse_hu", "bias_hu", "share")
        }
        for part in ("clean", "attacked")
    }
    return {"region": row.text("region"), "hu": hu, "pixels": row.number("pixels"), **parts}
