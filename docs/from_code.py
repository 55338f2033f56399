"""The reference pages, from the code itself: each command's parser, the recipe's schema, each room's public names."""

import dataclasses
import importlib
import inspect
import json
import re
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator
from importlib import resources
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ctrobust.cli.main import VERBS, OneLineParser
from ctrobust.recipes import Recipe, shipped_recipes

ROOMS = (
    *("ctrobust.core.geometry", "ctrobust.operators", "ctrobust.networks", "ctrobust.reconstruct"),
    *("ctrobust.threat", "ctrobust.evaluate", "ctrobust.bounds", "ctrobust.instability", "ctrobust.theory"),
    *("ctrobust.ingest", "ctrobust.store", "ctrobust.export", "ctrobust.recipes", "ctrobust.report"),
)
"""Whose `__all__` is documented whole."""
MODULES = (
    *("ctrobust.operators.sensing", "ctrobust.operators.mismatch", "ctrobust.operators.faults"),
    *("ctrobust.operators.noise", "ctrobust.operators.calibration", "ctrobust.ingest.data_exchange"),
    *("ctrobust.train.methods", "ctrobust.theory.training"),
)
"""Documented by what they define."""

BOUNDS = {"Gt": "> {gt}", "Ge": "≥ {ge}", "Lt": "< {lt}", "Le": "≤ {le}"}


def commands() -> str:
    """A section a command: what it is for, its usage and every argument."""
    return "\n\n".join(_command(verb) for verb in VERBS)


def parser_of(verb: str, prog: str | None = None) -> ArgumentParser:
    """The parser that `ctrobust VERB` itself makes."""
    module = importlib.import_module(f"ctrobust.cli.{verb}")
    parser = OneLineParser(prog=prog or f"ctrobust {verb}", description=module.__doc__)
    module.configure(parser)
    return parser


def recipes() -> str:
    """Every key with meaning, type and default, section by section; then every shipped recipe as it is."""
    parts = ["## The keys", *_sections(), "## Those that are shipped"]
    for name in shipped_recipes():
        text = resources.files("ctrobust.recipes").joinpath(f"{name}.yaml").read_text()
        parts.append(f"### {name}\n\n```yaml\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


def python() -> str:
    """A section a room, for autodoc to fill in."""
    return "\n\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```" for name in ROOMS + MODULES
    )


def as_rest(lines: list[str]) -> list[str]:
    """A docstring of this package as reST: what is laid out by hand stays so, and in prose only `code` is special."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    return [*"\n\n".join(map(_laid_out, blocks)).split("\n"), ""]


def _laid_out(block: str) -> str:
    by_hand = re.search(r"^ |\S {2,}\S", block, re.MULTILINE)
    if by_hand or block.startswith(">>>"):
        return "::\n\n" + "\n".join(f"    {line}" for line in block.split("\n"))
    pieces = block.split("`")
    pieces[::2] = [re.sub(r"([\\*_|])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(f"``{piece}``" if odd % 2 else piece for odd, piece in enumerate(pieces))


def _command(verb: str) -> str:
    parser = parser_of(verb)
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    rows = [
        f"| {_called(action)} | {_cell((action.help or '') % vars(action))} |"
        for action in parser._actions
        if action.help != SUPPRESS and "--help" not in action.option_strings
    ]
    table = "\n".join(["| argument | |", "|---|---|", *rows])
    return f"## ctrobust {verb}\n\n{parser.description}\n\n```text\n{usage}\n```\n\n{table}"


def _called(action: Any) -> str:
    metavar = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    if not action.option_strings:
        return _code(f"{metavar} …" if action.nargs in ("+", "*") else str(metavar))
    value = "" if action.nargs == 0 else f" {metavar}"
    return ", ".join(_code(f"{name}{value}") for name in action.option_strings)


def _sections() -> Iterator[str]:
    default = Recipe()
    sections = {
        field.name: getattr(default, field.name)
        for field in dataclasses.fields(Recipe)
        if dataclasses.is_dataclass(getattr(default, field.name))
    }
    yield _table("", Recipe, default, leave_out=set(sections))
    for name, value in sections.items():
        yield f"### {name}\n\n{explained(type(value))}"
        yield _table(f"{name}.", type(value), value, leave_out=set())


def explained(section: type) -> str:
    """The docstring of a part of the recipe, what it explains set as code: keys that stand before a colon."""
    key = rf"\b(?:{'|'.join(field.name for field in dataclasses.fields(section))})\b"
    listed = rf"{key}(?:,?(?: and)?\s{key})*(?=:)"
    told = inspect.getdoc(section) or ""
    return re.sub(listed, lambda found: re.sub(key, lambda one: f"`{one[0]}`", found[0]), told)


def _table(prefix: str, kind: type, values: Any, leave_out: set[str]) -> str:
    hints = get_type_hints(kind, include_extras=True)
    fields = [field for field in dataclasses.fields(kind) if field.name not in leave_out]
    rows = [
        f"| `{prefix}{field.name}` | {_kind(hints[field.name])} | {_code(_written(getattr(values, field.name)))} |"
        for field in fields
    ]
    return "\n".join(["| key | takes | default |", "|---|---|---|", *rows])


def _kind(hint: Any) -> str:
    """A type and its bounds in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = [_bound(each) for field in inner[1:] for each in getattr(field, "metadata", ())]
        return " ".join([_kind(inner[0]), " and ".join(filter(None, said))]).strip()
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join("null" if each is type(None) else _kind(each) for each in inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return "keys and values"
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(hint, str(hint))


def _bound(constraint: Any) -> str:
    template = BOUNDS.get(type(constraint).__name__)
    return template.format(**dataclasses.asdict(constraint)) if template else ""


def _written(value: Any) -> str:
    """As YAML reads it; a JSON list is YAML too."""
    return value if isinstance(value, str) else json.dumps(value)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
