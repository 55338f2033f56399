"""Compressed sensing by the commands of CT: pictures in, a matrix in the middle, run, result, page and parcel out."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.experiment import open_experiment
from ctrobust.networks.checkpoint import save_checkpoint
from ctrobust.operators.dense import DenseOperator
from ctrobust.recipes import load_recipe
from ctrobust.reconstruct import load
from ctrobust.reconstruct.load import build_network, build_projector, build_reconstructor
from ctrobust.report.runs import read_runs
from ctrobust.sweep import make_grid
from ctrobust.threat import L2Ball
from ctrobust.train.methods import METHODS
from ctrobust.train.methods.method import Adversarial
from ctrobust.train.running import make_fabric

QUICK = [
    "network.base_channels=4",
    "network.levels=2",
    "threat.base_channels=1",
    "train.steps=2",
    "train.batch_size=4",
    "train.log_to=[]",
    "train.log_every=1",
    "evaluate.eps=[0, 0.1]",
    "evaluate.steps=2",
    "evaluate.restarts=1",
    "evaluate.slices=8",
    "evaluate.examples=1",
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout of CelebA with nobody in it: 178 × 218, 6 to train, 2 to select, 8 to judge."""
    folder, draw = tmp_path_factory.mktemp("celeba"), np.random.default_rng(0)
    (folder / "img_align_celeba").mkdir()
    lines = []
    for number, part in enumerate((0,) * 6 + (1,) * 2 + (2,) * 8, start=1):
        coarse = draw.integers(0, 256, (7, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC)
        picture.save(folder / "img_align_celeba" / f"{number:06d}.jpg", quality=90)
        lines.append(f"{number:06d}.jpg {part}\n")
    (folder / "list_eval_partition.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def study(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "mnist"
    assert main(["train", "mnist", "--data", str(digits), "--out", str(out), *QUICK]) == 0
    return out


def test_one_command_from_the_files_to_the_page(study: Path, digits: Path) -> None:
    result = json.loads((study / "minmax" / "result.json").read_text())
    assert result["clean"]["rmse_hu"] is None
    assert "no HU" in result["metrics"]["rmse_hu"]
    assert set(result["clean"]) == {"psnr_db", "ssim", "rmse_hu", "mse"}
    assert result["anatomy"] == []
    assert result["reference"]["method"] == "pseudo-inverse"
    assert set(result["controls"]) == {"pseudo-inverse"}
    assert result["data"]["n_slices"] == result["data"]["n_patients"] == 8
    assert result["curve"][0]["rho_ci95"] is not None
    checks = result["attack"]["checks"]
    assert checks["adjoint"]["ok"]
    assert checks["gradient"]["ok"]
    assert "pseudo-inverse" in checks["exact"]["what"]
    page = (study / "report.html").read_text()
    assert "not CT, and no error is in HU" in page
    assert "RMSE, HU" not in page
    assert 'id="light-box"' not in page
    assert "window, W" not in page
    assert "pseudo-inverse" in page
    assert "200 compressed measurements by a matrix (gaussian)" in page


def test_load_gives_f_of_the_very_matrix(study: Path) -> None:
    f = load(study / "erm")
    assert isinstance(f.projector, DenseOperator)
    stored = np.load(study / "erm" / "result.examples.npz")
    y, delta = (torch.from_numpy(stored[name])[:, None] for name in ("y", "delta"))
    assert y.shape == (2, 1, 1, 200)  # the one chosen in advance, and the worst
    truth = torch.from_numpy(stored["truth"])[:, None]
    torch.testing.assert_close(f.projector(truth), y, rtol=0, atol=1e-5)
    np.testing.assert_allclose(f(y + delta)[:, 0], stored["f_attacked"], atol=1e-4)
    assert (L2Ball(0.1).size(delta, y) <= 0.1).all()
    gradient = torch.autograd.grad(f(y.requires_grad_()).sum(), y)
    assert gradient[0].any()


def test_another_seed_is_another_matrix_and_not_believed(study: Path, tmp_path: Path, capsys) -> None:
    """A is drawn by the seed, so a run's seed is part of what f is."""
    shutil.copytree(study / "erm", tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(UserError, match="seed differs from what was trained"):
        load(tmp_path / "run")


def test_a_run_from_before_pictures_still_loads(tmp_path: Path) -> None:
    """What it does not say of the physics are the defaults of then."""
    recipe = load_recipe("tiny", ["method=erm", "scan.pixel_mm=5"])
    keys = asdict(recipe)
    del keys["data"]["pictures"]
    for key in ("measurements", "start", "transform_size", "condition"):
        del keys["scan"][key]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(keys))))
    scan = {key: value for key, value in keys["scan"].items() if key != "backend"}
    physics = {"data.size": 32, "scan": scan, "network": keys["network"]}
    network = build_network(recipe)
    save_checkpoint(tmp_path / "checkpoints" / "best", {"physics": physics, "network": network.state_dict()})
    f = load(tmp_path)
    assert f.projector.sinogram_shape == (12, 46)
    assert torch.equal(f.network.unet.last.weight, network.unet.last.weight)


def test_evaluate_report_export_and_load_again(study: Path, digits: Path, tmp_path: Path, capsys) -> None:
    run = study / "minmax"
    again = [
        "evaluate",
        str(run),
        "--out",
        str(tmp_path / "again.json"),
        "--data",
        str(digits),
        "evaluate.adversaries=[generator, universal, image]",
    ]
    assert main(again) == 0
    found = json.loads((tmp_path / "again.json").read_text())
    assert [row["name"] for row in found["adversaries"]] == ["generator", "universal", "image"]
    assert found["curve"] == json.loads((run / "result.json").read_text())["curve"]
    assert main(["export", str(run), "--out", str(tmp_path / "parcel.zip")]) == 0
    f, parcel = load(run), load(tmp_path / "parcel.zip")
    y = torch.rand(2, 1, 1, 200)
    torch.testing.assert_close(f(y), parcel(y), rtol=0, atol=0)
    assert main(["report", str(tmp_path / "parcel.zip"), "--out", str(tmp_path / "page")]) == 0
    np.save(tmp_path / "y.npy", y.numpy())
    assert main(["reconstruct", str(run), str(tmp_path / "y.npy"), "--out", str(tmp_path / "dicom")]) == 2
    assert "no CT" in capsys.readouterr().err


def test_a_sweep_over_the_condition_number_alone(digits: Path, tmp_path: Path) -> None:
    grid = ["method=erm", "scan.geometry=spectrum", "scan.measurements=40", "scan.condition=1,30"]
    points = make_grid("mnist", grid, store=digits)
    matrices = [build_projector(point.recipe, "cpu") for point in points]
    assert [A.condition_number for A in matrices] == pytest.approx([1.0, 30.0])
    # The same singular vectors, only other values: A = (U s) Vᵀ, so that (A₁ᵀA₁)(A₃₀ᵀA₃₀) is symmetric.
    one, other = (A.matrix.T @ A.matrix for A in matrices)
    torch.testing.assert_close(one @ other, other @ one)
    with pytest.raises(UserError, match="no such folder"):
        make_grid("mnist", grid, store=tmp_path / "nowhere")


def test_faces_in_colour_by_the_published_parts(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "celeba"
    fixed = [*QUICK, "method=minmax", "scan.measurements=60", "evaluate.batch_size=4"]
    assert main(["train", "celeba", "--data", str(faces), "--out", str(out), *fixed]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["data"]["n_slices"] == 8
    split = json.loads((out / "split.json").read_text())
    assert [len(split[part]) for part in ("train", "val", "eval")] == [6, 2, 8]
    examples = read_runs([out])[0].examples
    assert examples is not None
    assert examples.truth.shape == (2, 64, 64, 3)  # the one chosen in advance, and the worst
    # Greys and the map of differences hold no green.
    (drawn,) = (out / "figures").glob("slice-*.png")
    red, green, blue = np.moveaxis(np.asarray(Image.open(drawn).convert("RGB"), dtype=int), 2, 0)
    assert ((green > red + 30) & (green > blue + 30)).any()
    f = load(out)
    y = torch.from_numpy(np.load(out / "result.examples.npz")["y"])[:, :, None]
    assert f(y).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_measurements_of_colours(method: str, faces: Path) -> None:
    small = ["data.size=32", "scan.measurements=20", "threat.ascent_steps=2", "network.base_channels=2"]
    recipe = load_recipe("celeba", [*small, "network.levels=2", "threat.base_channels=1", f"method={method}"])
    experiment = open_experiment(replace(recipe, data=replace(recipe.data, store=str(faces))))
    fabric = make_fabric("fp32")
    f, trained = build_reconstructor(recipe, experiment.projector), METHODS[method](recipe, fabric)
    trained.prepare(f)
    trained.begin(0, 4)
    y, x = experiment.pair(experiment.split.train[:4])
    assert y.shape == (4, 3, 1, 20)
    delta, _ = trained.perturb(f.train(), y, x, torch.arange(4))
    if isinstance(trained, Adversarial):
        assert delta is not None
        assert delta.shape == y.shape
        torch.testing.assert_close(
            L2Ball(0.1).size(delta, y), torch.full((4,), 0.1).double(), rtol=1e-4, atol=0
        )
    else:
        assert delta is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scan.photons=1e5", "photons are a scanner's"),
        ("evaluate.adversaries=[ring]", "ring is a scanner's"),
        ("evaluate.adversaries=[local_image]", "local_image is a scanner's"),
        ("evaluate.controls=[sirt]", "sirt needs a matrix without negative"),
        ("evaluate.examinations=[structures]", "structures is of CT slices"),
        ("data.crop=true", "data.crop is of CT slices"),
        ("scan.condition=0.5", "scan.condition is 0.5"),
    ],
)
def test_what_does_not_go_with_pictures_is_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_recipe("mnist", [override])


def test_a_scanner_sees_no_colours() -> None:
    with pytest.raises(UserError, match="no scanner sees"):
        load_recipe("celeba", ["scan.geometry=parallel"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "give its folder by --data"),
        (["--data", "."], "no train-images"),
        (["--data", "MNIST", "scan.geometry=dct", "scan.measurements=785"], "measurements 785"),
        (
            ["--data", "MNIST", "scan.geometry=dct-submatrix", "scan.transform_size=700"],
            "transform_size 700: give at least 784",
        ),
    ],
)
def test_a_mistake_is_one_line(given: list[str], said: str, digits: Path, tmp_path: Path, capsys) -> None:
    arguments = [str(digits) if text == "MNIST" else text for text in given]
    assert main(["train", "mnist", *arguments, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_mnist_itself(shared) -> None:
    """The real files: 8,334 to train on, 1,666 to select, 10,000 to judge."""
    recipe = load_recipe("mnist")
    experiment = open_experiment(replace(recipe, data=replace(recipe.data, store=str(shared("mnist")))))
    split = experiment.split
    assert [len(part) for part in (split.train, split.val, split.eval)] == [8334, 1666, 10000]
    y, x = experiment.pair([split.eval[0]])
    # The first of the test set is a 7: ink at the top, none at the lower left.
    assert x[0, 0, 7:10, 6:20].mean() > 0.5 > 0.01 > x[0, 0, 18:, :10].mean()
    torch.testing.assert_close(experiment.projector(x), y)
