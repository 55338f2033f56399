"""From a name or a YAML file and `key=value` overrides to a `Recipe`, with one line for each mistake."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.recipes.schema import Recipe

_ADAPTER = TypeAdapter(Recipe)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("ctrobust.recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a YAML file by path; then each `dotted.key=value` in turn.

    Raises UserError naming the file or key, what is wrong, and what to do.
    """
    source, text = _find(name)
    keys = _parse(text, source)
    for override in overrides:
        _override(keys, override)
    return build_recipe(keys, source)


def build_recipe(keys: Mapping[str, Any], source: str) -> Recipe:
    """Check plain keys against the schema; `source` is named in the complaint."""
    try:
        return _ADAPTER.validate_python(keys)
    except ValidationError as error:
        raise UserError(f"{source}: {_first_complaint(error, keys)}") from None


def read_recipe(path: Path) -> Recipe:
    """The recipe of a run folder. Raises UserError where it is missing or not one."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is this a run folder?") from None
    return build_recipe(_parse(text, str(path)), str(path))


def as_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out."""
    return str(yaml.safe_dump(_plain(dataclasses.asdict(recipe)), sort_keys=False, default_flow_style=None))


def write_recipe(recipe: Recipe, path: Path) -> None:
    with replacing(path) as part:
        part.write_text(as_yaml(recipe))


FILES = ("data.store", "data.split")
"""Keys that say where files lie. They may move: that they are the same is told by the hash in the split."""


def differing_keys(one: Recipe, other: Recipe) -> list[str]:
    """Dotted keys whose values differ."""
    first, second = _flat(dataclasses.asdict(one)), _flat(dataclasses.asdict(other))
    return [key for key in first | second if first.get(key) != second.get(key)]


def _find(name: str) -> tuple[str, str]:
    if name in shipped_recipes():
        return f"recipe {name}", resources.files("ctrobust.recipes").joinpath(f"{name}.yaml").read_text()
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        try:
            return str(path), path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise UserError(
                f"{path}: cannot be read ({reason}); give a YAML file or a recipe's name"
            ) from None
    raise UserError(
        f"recipe {name!r} is not shipped{_nearest(name, shipped_recipes())}; or give a .yaml file"
    )


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        keys = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not YAML ({error}); see ctrobust-train --print-recipe demo") from None
    if keys is None:
        return {}
    if not isinstance(keys, dict):
        raise UserError(f"{source}: holds no keys; see ctrobust-train --print-recipe demo")
    return keys


def _override(keys: dict[str, Any], override: str) -> None:
    dotted, found, text = override.partition("=")
    if not found or not dotted:
        raise UserError(f"argument {override!r}: give key=value, such as train.steps=100")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"{dotted}: {text!r} is not a YAML value; quote it") from None
    *sections, last = dotted.split(".")
    for depth, section in enumerate(sections, 1):
        inner = keys.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UserError(f"{dotted}: {'.'.join(sections[:depth])} is a value, not a section with keys")
        keys = inner
    keys[last] = value


def _first_complaint(error: ValidationError, keys: Mapping[str, Any]) -> str:
    # An unknown key explains itself best; it also is the likeliest cause of the others.
    complaints = sorted(error.errors(), key=lambda each: "unexpected" not in each["type"])
    location = _location(complaints[0]["loc"])
    dotted = ".".join(location)
    if "unexpected" in complaints[0]["type"]:
        known = list(_flat(dataclasses.asdict(Recipe()))) + list(dataclasses.asdict(Recipe()))
        siblings = [key for key in known if key.rpartition(".")[0] == ".".join(location[:-1])]
        near = difflib.get_close_matches(dotted, siblings, 1, 0.5)
        near = near or difflib.get_close_matches(dotted, known, 1, 0.3)
        return (
            f"unknown key {dotted}; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(siblings)}"
        )
    if complaints[0]["type"] == "dataclass_type":
        return f"{dotted} is {complaints[0]['input']!r}: it is a section; give {dotted}.KEY=value"
    message = complaints[0]["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if not location:
        return message
    return f"{dotted} is {complaints[0]['input']!r}: {message[0].lower()}{message[1:]}"


def _location(path: tuple[int | str, ...]) -> list[str]:
    """pydantic also names the member of a union it tried; only keys and positions are of use here."""
    return [str(part) for part in path if isinstance(part, int) or part.isidentifier()]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f": give one of {', '.join(known)}"


def _flat(keys: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in keys.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _plain(value: Any) -> Any:
    """Tuples as lists: YAML has no other."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
