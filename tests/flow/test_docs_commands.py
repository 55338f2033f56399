"""Every command shown in the README and the docs, and every key, is one that is taken; those of the how-to run."""

import dataclasses
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctrobust_datasets.__main__ import LAYOUTS
from ctrobust_datasets.__main__ import main as read_data

from ctrobust.cli.main import VERBS, main
from ctrobust.core.geometry import ParallelBeam
from ctrobust.recipes import Recipe, load_recipe
from ctrobust.store import Store
from ctrobust.sweep import make_grid

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = (
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "notebooks/README.md")),
    *(REPOSITORY / "benchmarks/README.md", *sorted((REPOSITORY / "datasets").rglob("*.md"))),
    *sorted(DOCS.rglob("*.md")),
)

PROGRAMS = ("ctrobust", "ctrobust-train")
ELSEWHERE = ("tensorboard", "mkdir", ".", "pip", "jupyter")
"""Not ours, and nothing of ours in what they are given."""

FEW = ("evaluate.steps=1", "evaluate.restarts=1", "evaluate.slices=2", "evaluate.examples=1")
SCAN = ("data.size=32", "scan.views=12")
"""Of a store; pictures have a size of their own."""
SMALL = (
    *(
        "network.base_channels=4",
        "network.levels=3",
        "threat.base_channels=4",
    ),
    *("threat.levels=2", "train.steps=2", "train.batch_size=4", "train.precision=fp32", *FEW),
)

HOW_TO = [
    f"docs/howto/{name}.md"
    for name in ("ingest", "split", "train", "pictures", "own", "report", "reconstruct", "sweep", "export")
]


def from_code():
    spec = importlib.util.spec_from_file_location("from_code", DOCS / "from_code.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every line of every `sh` block."""
    for block in (text for language, text in BLOCK.findall(page.read_text()) if language == "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


KEY = r"(?:method|seed|(?:data|scan|network|train|threat|regularize|evaluate|options)\.\w+)=\S+"


def inline(page: Path) -> Iterator[list[str]]:
    """The words of every command in the running text that is given its arguments."""
    for code in re.findall(r"`([^`]+)`", BLOCK.sub("", page.read_text())):
        words = shlex.split(code) if re.match(r"(ctrobust|ctrobust-train|python|make)\s", code) else []
        # `ctrobust evaluate` names a command and `ctrobust COMMAND` any: neither is one to type.
        if words and not (words[0] == "ctrobust" and (len(words) == 2 or words[1].isupper())):
            yield words


def keys(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(a recipe, keys given to it): in a table to that of the page's first command, in the text to the default."""
    trained = [found[1][0] for words in commands(page) if (found := ours(words)) and found[0] == "train"]
    for line in BLOCK.sub("", page.read_text()).splitlines():
        recipe = trained[0] if line.startswith("|") and trained else "minmax"
        for code in re.findall(rf"`({KEY}(?: {KEY})*)`", line):
            yield recipe, shlex.split(code)


def ours(words: list[str]) -> tuple[str, list[str]] | None:
    """(verb, its arguments), whatever runs it: a virtual environment, torchrun, a container."""
    places = [place for place, word in enumerate(words) if Path(word).name in PROGRAMS]
    if not places or words[:2] == ["docker", "build"]:
        return None
    last = places[-1]
    given = ["train"] * words[last].endswith("train") + words[last + 1 :]
    return given[0], given[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_command_is_one_that_is_taken(page: Path) -> None:
    for words in (*commands(page), *inline(page)):
        found = ours(words)
        if found:
            require_taken(*found)
        else:
            require_known(words)
    for recipe, given in keys(page):
        load_recipe(recipe, given)


def require_taken(verb: str, given: list[str]) -> None:
    """Parsed by the verb's own parser; keys of a recipe are held to the schema."""
    assert verb in VERBS
    arguments = from_code().parser_of(verb).parse_intermixed_args(given)
    if verb == "train":
        load_recipe(arguments.print_recipe or arguments.recipe, arguments.overrides)
    elif verb == "evaluate":
        assert all(override.startswith("evaluate.") for override in arguments.overrides)
        load_recipe("tiny", ["scan.photons=1e5", *arguments.overrides])
    elif verb == "sweep":
        # Split files are the reader's own.
        settings = [given for given in arguments.assignments if not given.startswith("data.split=")]
        assert make_grid(arguments.recipe, settings, store=None, split=None)


def require_known(words: list[str]) -> None:
    """A target of the Makefile, a module, a file here that knows the options given, or a program named above."""
    while "=" in words[0]:
        words = words[1:]
    program, given = words[0].rpartition("/")[2], words[1:]
    if program == "make":
        targets = re.findall(r"^([\w./-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert set(given) <= set(targets), words
    elif given[:2] == ["-m", "ctrobust_datasets"]:
        assert given[2] in (*LAYOUTS, "LAYOUT"), words
    elif given[:1] == ["-m"]:
        assert importlib.util.find_spec(given[1]), words
    elif program in ("python", "sh"):
        source = (REPOSITORY / given[0]).read_text()
        options = [word for word in given if word.startswith("--")]
        assert all(re.search(rf"{option}\b", source) for option in options), words
    elif program == "docker":
        assert (REPOSITORY / "Dockerfile").exists()
    else:
        assert program in ELSEWHERE, words


@pytest.fixture
def folder(store: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for what the pages take for granted: DICOM, digits, arrays, sinograms, list and f."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copytree(store.parent / "dicom", "DICOM_FOLDER")
    shutil.copytree(digits, "MNIST_FOLDER")
    Path("ARRAYS").mkdir()
    hu = np.linspace(-1000, 200, 2 * 32 * 32, dtype=np.float32).reshape(2, 32, 32)
    np.save("ARRAYS/scan.npy", hu)
    np.save("sinograms.npy", np.ones((2, *ParallelBeam(32, 12).sinogram_shape), np.float32))
    with Store(store) as opened:
        patients = sorted(set(opened.patients))
    parts = ["train"] * 4 + ["val"] * 2 + ["eval"] * 2
    rows = [f"{part},{patient}" for part, patient in zip(parts, patients, strict=True)]
    Path("parts.csv").write_text("\n".join(["part,patient", *rows]))
    code = re.search(r"```python\n(def .*?)```", (DOCS / "howto/own.md").read_text(), re.DOTALL)[1]
    Path("own.py").write_text(code)
    Path("package").mkdir()
    Path("package/module.py").write_text(code.replace("landweber", "function"))
    return tmp_path


def walk(pages: list[str]) -> None:
    """Run what is ours, small; left out is what needs several processes or a container engine."""
    for page in pages:
        for words in commands(REPOSITORY / page):
            found = ours(words)
            if words[:3] == ["python", "-m", "ctrobust_datasets"]:
                assert read_data(words[3:]) == 0, words
            elif found and words[0] not in ("torchrun", "docker"):
                verb, given = found
                scan = () if "MNIST_FOLDER" in words else SCAN
                small = {"train": (*scan, *SMALL), "sweep": (*scan, *SMALL), "evaluate": FEW}.get(verb, ())
                # Intermixed, so that they come last and win.
                assert main([verb, *given, *small]) == 0, words


def test_the_quick_ones_of_the_how_to(folder: Path) -> None:
    ingest, split, *_, reconstruct, _, export = HOW_TO
    walk([ingest, split])
    assert (
        main(
            ["train", "minmax", "--data", "ct.h5", "--split", "split.json", "--out", "runs/a", *SCAN, *SMALL]
        )
        == 0
    )
    walk([reconstruct, export])
    assert (folder / "xhat").is_dir()
    assert (folder / "page-of-a/report.html").exists()


@pytest.mark.soak
@pytest.mark.parametrize(
    "pages", [HOW_TO, ["README.md"], ["docs/index.md"]], ids=["how-to", "README", "index"]
)
def test_all_in_order(pages: list[str], folder: Path) -> None:
    walk(pages)
    assert (folder / "runs/ct-128/report.html").exists()


@pytest.mark.soak
def test_pictures_alone(folder: Path) -> None:
    walk(["docs/howto/pictures.md"])
    assert (folder / "page-of-pictures/report.html").exists()


@pytest.mark.soak
def test_evaluate_in_all_its_ways(folder: Path) -> None:
    walk(HOW_TO[:3])
    shutil.copytree("runs/a", "runs/b")
    walk(["docs/evaluate.md"])
    assert (folder / "transfer.json").exists()


def test_the_reference_says_all_that_the_code_knows() -> None:
    code = from_code()
    written = code.recipes()
    sections = [name for name in vars(Recipe()) if not name.startswith("_")]
    for section in sections:
        value = getattr(Recipe(), section)
        keys = [f"{section}.{key}" for key in vars(value)] if hasattr(value, "__dict__") else [section]
        assert all(f"`{key}`" in written for key in keys), section
    assert "| `evaluate.steps` | integer ≥ 1 | `100` |" in written
    assert "| `train.lr` | number > 0 | `0.001` |" in written
    assert "| `seed` | integer ≥ 0 | `0` |" in written
    told = code.commands()
    for verb in VERBS:
        options = [option for action in code.parser_of(verb)._actions for option in action.option_strings]
        assert all(option in told for option in options if option.startswith("--") and option != "--help")


def test_the_reference_explains_every_key() -> None:
    """`key`, in the docstring above the table, and not in the table alone."""
    for section in filter(dataclasses.is_dataclass, vars(Recipe()).values()):
        told = from_code().explained(type(section))
        unexplained = [field.name for field in dataclasses.fields(section) if field.name not in told]
        assert not unexplained, type(section).__name__
    assert "`steps`: of f; `epochs`: passes" in from_code().explained(type(Recipe().train))


def test_docstrings_survive_the_way_to_rest() -> None:
    said = from_code().as_rest(["|δ| of `eps`, *_x.", "", "    y = A x", "by hand   |b|"])
    assert said == ["\\|δ\\| of ``eps``, \\*\\_x.", "", "::", "", "        y = A x", "    by hand   |b|", ""]


def test_the_python_of_the_readme_runs() -> None:
    """With FBP in the place of a network that was trained before, and smaller."""
    code = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)[1]
    assert 'load("runs/demo/minmax")' in code
    names: dict[str, Any] = {}
    exec(code.replace('load("runs/demo/minmax")', "A.fbp").replace("128", "32"), names)
    assert names["delta"].shape == names["y"].shape
    rho = [row["rho"] for row in names["rows"]]
    assert rho == sorted(rho)
    assert rho[0] < rho[2]
