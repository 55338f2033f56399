"""The house keeps its shape: rooms that do not know one another, no cycles, nothing heavy at the door."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "ctrobust"

FORBIDDEN = {
    "core": {
        "export",
        "ingest",
        "store",
        "operators",
        "networks",
        "reconstruct",
        "threat",
        "train",
        "evaluate",
        "report",
        "cli",
    },
    "ingest": {"export", "store", "operators", "networks", "train", "evaluate", "report", "cli"},
    "store": {"export", "ingest", "operators", "networks", "train", "evaluate", "report", "cli"},
    "operators": {"export", "ingest", "store", "networks", "threat", "train", "evaluate", "report", "cli"},
    "networks": {"export", "ingest", "store", "operators", "threat", "train", "evaluate", "report", "cli"},
    "threat": {"export", "networks", "train", "evaluate", "report", "cli"},
    "bounds": {"export", "ingest", "store", "train", "evaluate", "report", "cli"},
    "reconstruct": {"export", "train", "evaluate", "report", "cli"},
    "train": {"export", "evaluate", "report", "cli"},
    "evaluate": {"export", "train", "report", "cli"},
    "report": {
        "export",
        "operators",
        "networks",
        "reconstruct",
        "threat",
        "train",
        "evaluate",
        "store",
        "cli",
    },
    "export": {
        "ingest",
        "store",
        "operators",
        "networks",
        "reconstruct",
        "threat",
        "train",
        "evaluate",
        "report",
        "cli",
    },
    "theory": {"train", "evaluate", "report", "cli"},
    "recipes": {"train", "evaluate", "report", "cli", "networks", "operators"},
}


def imports_of(file: Path) -> set[str]:
    """Dotted names of ctrobust that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ctrobust"}


def modules() -> dict[str, Path]:
    names = {}
    for file in PACKAGE.rglob("*.py"):
        dotted = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
        names[dotted.removesuffix(".__init__")] = file
    return names


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_rooms_do_not_open_onto_one_another(room: str) -> None:
    seen = {
        (file.name, name.split(".")[1])
        for file in (PACKAGE / room).rglob("*.py")
        for name in imports_of(file)
        if "." in name and name.split(".")[1] in FORBIDDEN[room]
    }
    assert not seen


def test_no_cycles() -> None:
    known = modules()
    edges = {
        name: {other for other in imports_of(file) if other in known and known[other].name != "__init__.py"}
        for name, file in known.items()
        if file.name != "__init__.py"
    }
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " -> ".join((*path, name))
        if state.get(name) == 2:
            return
        state[name] = 1
        for other in sorted(edges.get(name, ())):
            visit(other, (*path, name))
        state[name] = 2

    for name in sorted(edges):
        visit(name, ())


def test_one_module_alone_imports_astra() -> None:
    users = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if any(
            (
                isinstance(node, ast.Import)
                and any(alias.name.split(".")[0] == "astra" for alias in node.names)
            )
            or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "astra")
            for node in ast.walk(ast.parse(file.read_text()))
        )
    ]
    assert users == ["operators/backends/astra_link.py"]


def test_nothing_imports_the_command_line() -> None:
    outside = [file for file in PACKAGE.rglob("*.py") if "cli" not in file.relative_to(PACKAGE).parts]
    assert not [file for file in outside if any(name.startswith("ctrobust.cli") for name in imports_of(file))]


@pytest.mark.parametrize("command", ["import ctrobust", "import ctrobust.cli.main, ctrobust.cli.train"])
def test_the_door_is_light(command: str) -> None:
    check = (
        f"{command}; import sys; print(sorted({{'torch', 'astra', 'numpy', 'pydantic'}} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_public_names_are_resolved_when_used() -> None:
    import ctrobust
    from ctrobust.operators import Projector

    assert ctrobust.Projector is Projector
    assert all(getattr(ctrobust, name) is not None for name in dir(ctrobust))
    with pytest.raises(AttributeError, match="Projektor"):
        _ = ctrobust.Projektor


def test_every_room_is_installed() -> None:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    on_disk = {
        ".".join(("ctrobust", *file.parent.relative_to(PACKAGE).parts))
        for file in PACKAGE.rglob("__init__.py")
    } | {
        ".".join(("ctrobust_datasets", *file.parent.relative_to(REPOSITORY / "datasets").parts))
        for file in (REPOSITORY / "datasets").rglob("__init__.py")
    }
    assert listed == on_disk
