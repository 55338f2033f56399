"""From a store to a report in one command, and everything the contract says is then in the folder."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.networks.checkpoint import load_checkpoint, save_checkpoint, weights_sha256
from ctrobust.reconstruct import load
from ctrobust.threat import L2Ball


@pytest.fixture(scope="module")
def study(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "both"
    arguments = ["train", "tiny", "--data", str(store), "--out", str(out), "method=[erm, minmax]"]
    assert main(arguments) == 0
    return out


def test_a_run_a_method_and_one_page_for_all(study: Path) -> None:
    assert (study / "report.html").stat().st_size < 10 * 2**20
    for method in ("erm", "minmax"):
        run = study / method
        recipe = yaml.safe_load((run / "recipe.yaml").read_text())
        assert recipe["method"] == method
        assert recipe["scan"]["pixel_mm"] > 0
        assert recipe["train"]["precision"] == "fp32"
        with (run / "history.csv").open() as stream:
            steps = [int(row["step"]) for row in csv.DictReader(stream)]
        assert steps == list(range(1, 13))
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"last", "best"}


def test_the_result_says_how_it_was_born(study: Path, store: Path) -> None:
    for method in ("erm", "minmax"):
        result = json.loads((study / method / "result.json").read_text())
        assert result["schema"] == 1
        assert result["method"] == method
        assert set(result["clean"]) == {"psnr_db", "ssim", "rmse_hu", "mse"}
        assert [row["eps"] for row in result["curve"]] == [0, 0.01, 0.02]
        assert [set(row) for row in result["curve"]] == [{"eps", "rho", "rho_ci95", "random", "psnr_db"}] * 3
        assert result["data"]["store_sha256"] == sha256_of(store)
        assert result["data"]["split_sha256"] == sha256_of(study / method / "split.json")
        assert {"version", "commit", "seed", "device", "threads", "torch", "astra"} <= set(
            result["provenance"]
        )
        assert result["attack"]["matched"] is True
        assert result["attack"]["checks"]["adjoint"]["ok"]
        assert result["attack"]["checks"]["gradient"]["ok"]
        assert result["reference"]["method"] == "fbp"


def test_examples_are_what_the_figures_say(study: Path) -> None:
    found = np.load(study / "minmax" / "result.examples.npz")
    f = load(study / "minmax")
    y, delta = torch.from_numpy(found["y"])[:, None], torch.from_numpy(found["delta"])[:, None]
    np.testing.assert_allclose(f(y)[:, 0].numpy(), found["f_clean"], atol=1e-5)
    np.testing.assert_allclose(f(y + delta)[:, 0].numpy(), found["f_attacked"], atol=1e-5)
    assert (L2Ball(float(found["eps"])).size(delta, y) <= float(found["eps"])).all()


def test_load_gives_f_and_refuses_a_folder_of_several(study: Path) -> None:
    f = load(study / "erm")
    geometry = f.projector.geometry
    assert geometry.image_shape == (32, 32)
    y = torch.rand(2, 1, *geometry.sinogram_shape, requires_grad=True)
    f(y).sum().backward()
    assert y.grad is not None
    with pytest.raises(UserError, match=r"several runs.*erm.*minmax"):
        load(study)
    with pytest.raises(UserError, match="no such folder"):
        load(study / "nothing")


def test_evaluating_again_gives_the_same_and_keeps_the_old(study: Path, tmp_path: Path, capsys) -> None:
    elsewhere = tmp_path / "again.json"
    assert main(["evaluate", str(study / "minmax"), "--out", str(elsewhere)]) == 0
    assert "minmax" in capsys.readouterr().out
    first, again = (json.loads(path.read_text()) for path in (study / "minmax" / "result.json", elsewhere))
    assert first["curve"] == again["curve"]
    assert main(["evaluate", str(study / "erm"), "--eps", "0.03"]) == 0
    assert [row["eps"] for row in json.loads((study / "erm" / "result.json").read_text())["curve"]] == [
        0,
        0.03,
    ]
    assert [row["eps"] for row in json.loads((study / "erm" / "result-1.json").read_text())["curve"]] == [
        0,
        0.01,
        0.02,
    ]
    assert main(["evaluate", str(study / "minmax"), "--out", str(elsewhere)]) == 2


def test_figures_are_of_the_weights_that_are_there(store: Path, tmp_path: Path, capsys) -> None:
    """Evaluated half-way, a resumed run is attacked again at its end; resumed once more, it is left alone."""
    quick = ["tiny", "--out", str(tmp_path / "run"), "evaluate.steps=2", "train.steps=8"]
    assert main(["train", *quick, "--data", str(store)]) == 0
    run = tmp_path / "run"
    result, last = run / "result.json", run / "checkpoints" / "last"
    foreign = json.loads(result.read_text()) | {"weights_sha256": "of a half-trained network"}
    result.write_text(json.dumps(foreign))
    assert main(["train", *quick, "--resume"]) == 0
    assert json.loads(result.read_text())["weights_sha256"] == weights_sha256(load(run).network)
    assert json.loads((run / "result-1.json").read_text()) == foreign
    before = result.read_bytes()
    assert main(["train", *quick, "--resume"]) == 0
    assert result.read_bytes() == before
    save_checkpoint(last, load_checkpoint(last) | {"step": 5})
    capsys.readouterr()
    assert main(["evaluate", str(run), "--out", str(tmp_path / "half.json")]) == 0
    assert "5 of 8 steps" in capsys.readouterr().err


def test_what_nobody_has_judged_may_be_judged_in_another_way(store: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    quick = ["train", "tiny", "--data", str(store), "--out", str(run), "train.steps=4", "--resume"]
    assert main([*quick, "evaluate.steps=2"]) == 0
    before = (run / "recipe.yaml").read_text(), (run / "result.json").read_bytes()
    assert main([*quick, "evaluate.steps=3"]) == 2
    assert f"judge anew: ctrobust evaluate {run} evaluate.steps" in capsys.readouterr().err
    assert ((run / "recipe.yaml").read_text(), (run / "result.json").read_bytes()) == before
    (run / "result.json").unlink()
    assert main([*quick, "evaluate.steps=3", "train.lr=0.1"]) == 2
    assert main([*quick, "evaluate.steps=3"]) == 0
    assert json.loads((run / "result.json").read_text())["attack"]["steps"] == 3
    assert "steps: 3" in (run / "recipe.yaml").read_text()


def test_a_run_and_its_store_may_move(store: Path, tmp_path: Path) -> None:
    quick = ["tiny", "--out", str(tmp_path / "run"), "evaluate.steps=2", "train.steps=4"]
    (tmp_path / "here.h5").write_bytes(store.read_bytes())
    assert main(["train", *quick, "--data", str(tmp_path / "here.h5")]) == 0
    (tmp_path / "here.h5").rename(tmp_path / "there.h5")
    assert main(["train", *quick, "--resume"]) == 2
    assert main(["train", *quick, "--resume", "--data", str(tmp_path / "there.h5")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--eps", "0,0.01"]) == 0


@pytest.mark.parametrize(
    "edit", [("views: 12", "views: 13"), ("base_channels: 4, levels: 3", "base_channels: 4, levels: 2")]
)
def test_an_edited_recipe_is_not_believed(study: Path, tmp_path: Path, edit: tuple[str, str], capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(study / "minmax", run)
    text = (run / "recipe.yaml").read_text()
    assert edit[0] in text
    (run / "recipe.yaml").write_text(text.replace(*edit))
    assert main(["evaluate", str(run)]) == 2
    assert "differs from what was trained" in capsys.readouterr().err


def test_slices_trained_on_do_not_judge(study: Path, store: Path, tmp_path: Path, capsys) -> None:
    split = tmp_path / "other.json"
    assert main(["split", str(store), "--eval", "0.6", "--seed", "3", "--out", str(split)]) == 0
    assert (
        main(["evaluate", str(study / "erm"), "--split", str(split), "--out", str(tmp_path / "r.json")]) == 2
    )
    assert "trained or selected on" in capsys.readouterr().err


def test_a_split_of_ones_own_is_used(store: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    assert main(["split", str(store), "--by", "slice", "--eval", "0.25", "--out", str(split)]) == 0
    out = tmp_path / "run"
    quick = ["train.steps=2", "evaluate.steps=1", "evaluate.eps=[0, 0.02]"]
    assert (
        main(["train", "tiny", "--data", str(store), "--split", str(split), "--out", str(out), *quick]) == 0
    )
    assert json.loads((out / "split.json").read_text()) == json.loads(split.read_text())
    assert json.loads((out / "result.json").read_text())["data"]["split_by"] == "slice"


def test_noise_is_fixed_by_the_seed_and_the_slice(store: Path, tmp_path: Path) -> None:
    quick = ["train.steps=2", "evaluate.steps=1", "evaluate.eps=[0, 0.02]", "scan.photons=1e4"]
    for name in ("one", "two"):
        assert main(["train", "tiny", "--data", str(store), "--out", str(tmp_path / name), *quick]) == 0
    one, two = (np.load(tmp_path / name / "result.examples.npz")["y"] for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    other = [*quick, "seed=1"]
    split = ["--split", str(tmp_path / "one" / "split.json")]
    assert (
        main(["train", "tiny", "--data", str(store), "--out", str(tmp_path / "three"), *split, *other]) == 0
    )
    three = np.load(tmp_path / "three" / "result.examples.npz")["y"]
    assert not np.array_equal(one, three)


def test_the_attack_has_converged_on_a_trained_network(store: Path, tmp_path: Path) -> None:
    """Doubling its steps moves ρ̂ by less than 2 %."""
    trained = [
        "train.steps=100",
        "train.checkpoint_every=50",
        "network.base_channels=8",
        "method=[erm, minmax]",
    ]
    attack = ["evaluate.steps=100", "evaluate.restarts=1", "evaluate.slices=4", "evaluate.eps=[0, 0.02]"]
    assert (
        main(["train", "tiny", "--data", str(store), "--out", str(tmp_path / "run"), *trained, *attack]) == 0
    )
    for method in ("erm", "minmax"):
        result = json.loads((tmp_path / "run" / method / "result.json").read_text())
        assert result["attack"]["checks"]["convergence"]["value"] < 0.02
        assert all(check["ok"] for check in result["attack"]["checks"].values())
        # Trained, not just run: better than the image it starts from.
        assert result["clean"]["psnr_db"] > result["reference"]["clean"]["psnr_db"]
