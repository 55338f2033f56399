"""Other scanners through the whole flow: a fan on a short arc, noise, and a back-end whose transpose is not exact."""

import json
from pathlib import Path

import pytest
import torch

from ctrobust.cli.main import main
from ctrobust.core.geometry import FanBeam
from ctrobust.operators.backends.numba import NumbaBackend
from ctrobust.reconstruct import load

SHORT = ["method=erm", "train.steps=2", "evaluate.steps=2", "evaluate.restarts=1", "evaluate.examples=1"]


def train(store: Path, out: Path, *more: str) -> int:
    return main(["train", "tiny", "--data", str(store), "--out", str(out), *SHORT, *more])


def test_a_fan_is_trained_attacked_and_loaded(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "fan"
    scan = ["scan.geometry=fan", "scan.arc=short", "scan.photons=1e5", "scan.electronic_counts=5"]
    assert train(store, out, *scan) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["attack"]["matched"] is True
    assert result["attack"]["checks"]["adjoint"]["ok"]
    f = load(out)
    assert isinstance(f.projector.geometry, FanBeam)
    assert max(f.projector.geometry.angles) < 5.3
    x = torch.zeros(1, 1, *f.projector.image_shape)
    x[..., 10:-10, 10:-10] = 1
    assert f(f.projector(x)).shape == x.shape


def test_a_run_whose_scan_was_edited_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(store, out) == 0
    recipe = out / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("backend: auto", "backend: matrix"))
    assert load(out).projector.backend == "matrix"
    recipe.write_text(text.replace("geometry: parallel", "geometry: fan"))
    assert main(["evaluate", str(out)]) == 2
    assert "scan.geometry differs from what was trained" in capsys.readouterr().err


def test_a_source_inside_the_patient_is_refused_with_the_cure(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(store, tmp_path / "run", "scan.geometry=fan", "scan.source_to_iso_mm=50") == 2
    message = capsys.readouterr().err.strip()
    assert "the source would turn inside the image" in message
    assert "longer distance" in message
    assert "\n" not in message
    assert not (tmp_path / "run").exists()


def test_an_attack_through_an_unmatched_back_end_is_refused_or_flagged(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = NumbaBackend.adjoint
    monkeypatch.setattr(NumbaBackend, "matched", False)
    monkeypatch.setattr(NumbaBackend, "adjoint", lambda self, y: 1.01 * exact(self, y))
    assert train(store, tmp_path / "refused") == 2
    assert "evaluate.allow_unmatched" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()
    out = tmp_path / "flagged"
    assert train(store, out, "evaluate.allow_unmatched=true") == 0
    attack = json.loads((out / "result.json").read_text())["attack"]
    assert attack["matched"] is False
    assert attack["allow_unmatched"] is True
    assert not attack["checks"]["adjoint"]["ok"]
    assert "adjoint" in (out / "report.html").read_text()
