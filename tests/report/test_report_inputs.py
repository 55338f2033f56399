"""Run folders that are not as they should be: one line that names the file and the cure."""

import json

import numpy as np
import pytest

from ctrobust.core.errors import UserError
from ctrobust.report import write_report
from ctrobust.report.runs import find_runs, read_runs


def read(*given):
    return read_runs(find_runs(given)[0])


def refused(*given) -> str:
    with pytest.raises(UserError) as refusal:
        read(*given)
    message = str(refusal.value)
    assert "\n" not in message
    assert ";" in message
    return message


@pytest.mark.parametrize("name", ["recipe.yaml", "result.json", "history.csv"])
def test_a_missing_file_is_named(make_run, name):
    folder = make_run("erm")
    (folder / name).unlink()
    message = refused(folder)
    assert f"{folder / name}: not found" in message
    assert ("ctrobust evaluate" in message) == (name == "result.json")


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("recipe.yaml", "a: [1,\nb: {", "not readable as YAML"),
        ("recipe.yaml", "!!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("recipe.yaml", "- erm", "not a mapping"),
        ("history.csv", "loss\n1\n", "no column `step`"),
        ("history.csv", "step,clean\n1,2\n2,much\n", "line 3, clean: 'much' is not a number"),
        ("result.json", "{", "not readable as JSON"),
        ("result.json", "[]", "not a mapping"),
        ("result.json", '{"schema": 2}', "schema 2"),
        ("result.examples.npz", "PK nothing", "malformed"),
    ],
)
def test_a_malformed_file_is_named(make_run, name, content, hint):
    folder = make_run("erm")
    (folder / name).write_text(content)
    message = refused(folder)
    assert str(folder / name) in message
    assert hint in message


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("clean", "ssim"), None, "clean.ssim: None is not a finite number"),
        (("clean", "mse"), float("nan"), "clean.mse: nan is not a finite number"),
        (("clean", "mse"), True, "clean.mse: True is not a finite number"),
        (("curve",), [], "curve: not a list of at least one row"),
        (("curve", 1, "rho"), "much", "curve[1].rho: 'much' is not a finite number"),
        (("curve", 1, "rho_ci95"), [1], "curve[1].rho_ci95"),
        (("curve", 1, "eps"), -1, "curve[1].eps: -1.0 is negative"),
        (("attack", "checks", "exact_linear", "ok"), "yes", "attack.checks.exact_linear.ok"),
        (("reference", "curve", 0), 3, "reference.curve[0]: not a mapping"),
        (("data",), 3, "data: not a mapping"),
    ],
)
def test_a_wrong_value_is_named(make_run, keys, value, named):
    def spoil(result, recipe):
        inner = result
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    assert named in refused(make_run("erm", spoil))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("truth", np.zeros((2, 5))),
        ("f_clean", np.zeros((2, 5, 5))),
        ("delta", np.full((2, 36, 96), np.nan)),
        ("patient", np.array(["one"])),
        ("in_advance", np.array([True])),
        ("y", np.array([{"an": "object"}])),
    ],
)
def test_wrong_examples_are_named(make_run, name, array):
    message = refused(make_run("erm", arrays={name: array}))
    assert "result.examples.npz: malformed" in message
    assert "ctrobust evaluate" in message


def test_folders_without_a_run(tmp_path, make_run):
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert "no run here" in refused(tmp_path)
    (make_run("erm") / "result.json").unlink()
    assert f"ctrobust evaluate {tmp_path / 'runs' / 'erm'}" in refused(tmp_path / "runs")
    with pytest.raises(UserError, match="at least one"):
        find_runs([])


def test_a_folder_of_runs_stands_for_all_and_none_comes_twice(make_run):
    erm, minmax, jitter = make_run("erm"), make_run("minmax"), make_run("jitter")
    (make_run("pgd") / "result.json").unlink()
    folders, left_out = find_runs([minmax, erm.parent])
    assert folders == [minmax, erm, jitter]
    assert left_out == ["pgd"]


def test_the_same_method_twice_gets_two_labels(make_run):
    runs = read(make_run("minmax"), make_run("minmax", name="minmax-2"))
    assert [run.label for run in runs] == ["minmax (minmax)", "minmax (minmax-2)"]


def test_what_the_contract_leaves_out_may_be_missing(make_run):
    def strip(result, recipe):
        del result["reference"], result["attack"]["checks"], recipe["threat"], recipe["evaluate"]
        for row in result["curve"]:
            row["rho_ci95"] = None

    folder = make_run("erm", strip)
    (folder / "result.examples.npz").unlink()
    (folder / "history.csv").write_text("step,epoch,seconds,clean\n")
    (run,) = read(folder)
    assert run.examples is None
    assert run.trained_eps is None
    assert run.result.learned.checks == ()


def test_no_examples_asked_for_is_no_mistake(make_run):
    (run,) = read(make_run("erm", slices=0))
    assert run.examples is None


def test_json_of_another_hand_is_read_alike(make_run):
    folder = make_run("erm")
    content = json.loads((folder / "result.json").read_text())
    content["curve"].reverse()
    content["more"] = content["clean"]["more"] = {"to": "come"}
    (folder / "result.json").write_text(json.dumps(content, indent=1))
    (run,) = read(folder)
    assert [point.eps for point in run.result.learned.curve] == [0, 0.005, 0.01, 0.02, 0.04]


def test_a_result_file_is_drawn_with_what_lies_beside_it(make_run, tmp_path):
    """`evaluate --out own.json` writes own.examples.npz and own.recipe.yaml with it."""
    run, elsewhere = make_run("erm", slices=1), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, own in (
        ("result.json", "own.json"),
        ("result.examples.npz", "own.examples.npz"),
        ("recipe.yaml", "own.recipe.yaml"),
    ):
        (run / name).rename(elsewhere / own)
    page = write_report([elsewhere / "own.json", make_run("minmax", slices=1)], tmp_path / "page").read_text()
    assert "erm" in page
    assert "handed over" not in page
    (elsewhere / "own.recipe.yaml").unlink()
    assert "recipe.yaml: not found" in refused(elsewhere / "own.json")


def test_an_earlier_result_of_a_run_has_the_run_s_recipe(make_run):
    run = make_run("erm", slices=1)
    (run / "result-1.json").write_text((run / "result.json").read_text())
    (found,) = read(run / "result-1.json")
    assert found.recipe["method"] == "erm"
    assert found.examples is None
