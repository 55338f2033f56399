"""A mapping of a result file, read field by field: what is not as it should be is named, with the cure."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError


@dataclass(frozen=True)
class Fields:
    """A mapping of the file that can say which key is not as it should be."""

    path: Path
    content: Any
    where: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.content, dict):
            raise self.wrong(self.where.rstrip(".") or "the file", "not a mapping")

    def wrong(self, key: str, what: str) -> UserError:
        return UserError(f"{self.path}: {key}: {what}; run `ctrobust evaluate {self.path.parent}` again")

    def get(self, key: str) -> Any:
        if key not in self.content:
            raise self.wrong(self.where + key, "missing")
        return self.content[key]

    def section(self, key: str) -> "Fields":
        return Fields(self.path, self.get(key), f"{self.where}{key}.")

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.wrong(self.where + key, f"{value!r} is not a text")
        return value

    def number(self, key: str) -> float:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(self.where + key, f"{value!r} is not a finite number")
        return float(value)

    def listed(self, key: str) -> list[Any]:
        value = self.get(key)
        if not isinstance(value, list):
            raise self.wrong(self.where + key, "not a list")
        return value

    def rows(self, key: str) -> list["Fields"]:
        """A list of mappings."""
        return [Fields(self.path, row, f"{self.where}{key}[{i}].") for i, row in enumerate(self.listed(key))]

    def numbers(self, key: str) -> NDArray[np.float64]:
        """(n,) finite numbers."""
        values = self.listed(key)
        whole = Fields(self.path, {f"{key}[{i}]": value for i, value in enumerate(values)}, self.where)
        return np.array([whole.number(each) for each in whole.content], dtype=np.float64)

    def interval(self, key: str) -> tuple[float, float] | None:
        """[low, high], or null."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self.wrong(self.where + key, f"{value!r} is neither null nor [low, high]")
        low, high = self.numbers(key).tolist()
        return low, high

    def holds(self, key: str) -> bool:
        """Whether something is said under that key at all."""
        return self.content.get(key) is not None
