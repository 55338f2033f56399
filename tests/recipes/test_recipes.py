"""Recipes: every shipped one loads, comes back as it was, and each mistake is one line that names the key."""

import re
from importlib import resources
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.recipes import load_recipe, read_recipe, shipped_recipes, write_recipe
from ctrobust.recipes.loading import differing_keys
from ctrobust.recipes.schema import METHOD_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_prints_whole_and_reads_back(name: str, tmp_path, capsys) -> None:
    recipe = load_recipe(name)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    assert main(["train", "--print-recipe", name]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "recipe.yaml").read_text()
    sections = {"data", "scan", "network", "train", "threat", "regularize", "evaluate"}
    assert set(yaml.safe_load(printed)) == {"method", "seed", "options", *sections}


def test_the_names_of_the_contract_are_there() -> None:
    assert {"demo", "tiny", "fbpconvnet-2017", "ct-143", "ct-256", *METHOD_NAMES} <= set(shipped_recipes())
    for name in METHOD_NAMES:
        assert load_recipe(name).method == name
    assert load_recipe("demo").method == ("erm", "minmax")


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_is_headed_by_its_command_and_the_pages_of_its_figures(name: str) -> None:
    lines = resources.files("ctrobust.recipes").joinpath(f"{name}.yaml").read_text().splitlines()
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    assert any(line.startswith(f"# ctrobust-train {name}") for line in header)
    pages = re.findall(r"docs/[\w/-]+\.md", "\n".join(header))
    assert pages or name in ("demo", "tiny", "fbpconvnet-2017")
    assert all((REPOSITORY / page).exists() for page in pages)


def test_a_method_s_own_recipe_has_the_values_that_were_found_best() -> None:
    """By docs/results/what-g-finds.md; the schema's defaults, which other recipes rest on, stay."""
    assert load_recipe("jitter").threat.eps == 0.08
    assert load_recipe("universal").threat.universal_step == 1
    assert load_recipe("weight_decay").regularize.weight_decay == 10
    assert load_recipe("parseval").regularize.parseval_beta == 0.02
    assert load_recipe("ct-128", ["method=jitter"]).threat.eps == 0.02


def test_an_override_reaches_its_key() -> None:
    recipe = load_recipe(
        "minmax", ["train.lr=1e-4", "threat.eps=0.01", "method=[erm, minmax]", "scan.photons=null"]
    )
    assert (recipe.train.lr, recipe.threat.eps, recipe.method) == (1e-4, 0.01, ("erm", "minmax"))
    assert differing_keys(recipe, load_recipe("minmax")) == ["method", "train.lr", "threat.eps"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.stps=3", "unknown key train.stps; did you mean train.steps?"),
        ("trian.steps=3", "unknown key trian; did you mean train?"),
        ("lr=0.1", "did you mean train.lr?"),
        ("train.steps=many", "train.steps is 'many'"),
        ("train.steps=0", "train.steps is 0"),
        ("train.lr=.nan", "train.lr is nan"),
        ("method=foo", f"method is 'foo': no 'foo'; give one of {', '.join(METHOD_NAMES)}"),
        ("method=[erm, foo]", "method is ['erm', 'foo']: no 'foo'; give one of erm"),
        ("method=[]", "method is []: no []; give one of erm"),
        ("method=3", "method is 3: no 3; give one of erm"),
        ("train=3", "give train.KEY=value"),
        ("train", "give key=value"),
        ("data.size.x=3", "data.size is a value"),
        ("evaluate.eps=[0, -1]", "evaluate.eps.1 is -1"),
        ("scan.window=blackman", "scan.window is 'blackman'"),
        ("train.log_to=[tensorboard, paper]", "train.log_to.1 is 'paper'"),
        ("train.epochs=0", "train.epochs is 0"),
        ("train.accumulate=0", "train.accumulate is 0"),
        ("threat.ramp=2", "threat.ramp is 2"),
        ("threat={turns: together, ball: hinge}", "turns=together goes with ball=project"),
        ("threat={turns: together, steps_per_update: 2}", "turns=together goes with ball=project"),
        ("threat={further: true, turns: together}", "further=true goes with turns=alternate"),
        ("threat={further: true, ball: hinge}", "further=true goes with turns=alternate"),
        ("threat={fresh: true}", "fresh=true goes with steps_per_update of 2 or more"),
        ("regularize.parseval_beta=0.6", "regularize.parseval_beta is 0.6"),
        ("options.mine=[1]", "options.mine"),
        ("seed=[", "quote it"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(override: str, said: str) -> None:
    with pytest.raises(UserError) as mistake:
        load_recipe("demo", [override])
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: [", "not YAML"),
        ("- 1", "holds no keys"),
        ("train: {steps: x}", "train.steps"),
        ("sed: 3", "mean seed"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as mistake:
        load_recipe(str(path))
    assert str(path) in str(mistake.value)


def test_an_empty_file_is_all_defaults(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    assert load_recipe(str(tmp_path / "mine.yaml")).network.base_channels == 64


def test_a_name_misspelt_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean minmax"):
        load_recipe("minmix")
