"""Values out of a header: text, numbers, or a refusal that names the element."""

import math
from typing import Any, Protocol

from ctrobust.ingest.refusal import RefusalError


class Elements(Protocol):
    """A data set, or one frame of it: whatever answers a keyword with a value or None."""

    def get(self, keyword: str, /) -> Any: ...


def text(elements: Elements, keyword: str) -> str:
    """The value as text without padding, several values joined by a backslash; empty where there is none."""
    return "\\".join(words(elements, keyword))


def words(elements: Elements, keyword: str) -> tuple[str, ...]:
    """The values as text without padding; () where there is none."""
    value = elements.get(keyword)
    if value is None or value == "":
        return ()
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    return tuple(str(one).strip(" \0") for one in values)


def numbers(elements: Elements, keyword: str, count: int) -> tuple[float, ...]:
    """`count` finite numbers; raises RefusalError where the element is missing or holds anything else."""
    value = elements.get(keyword)
    if value is None or value == "":
        raise RefusalError(f"no {keyword}")
    several = hasattr(value, "__iter__") and not isinstance(value, str | bytes)
    found = tuple(float(number) for number in (value if several else [value]))
    if len(found) != count or not all(map(math.isfinite, found)):
        raise RefusalError(f"{keyword} is unusable")
    return found


def whole(elements: Elements, keyword: str) -> int:
    """One whole number; raises RefusalError where the element is missing or holds anything else."""
    (number,) = numbers(elements, keyword, 1)
    if number != int(number):
        raise RefusalError(f"{keyword} is unusable")
    return int(number)


def optional_number(elements: Elements, keyword: str) -> float | None:
    """One finite number; None where the element is missing or holds anything else."""
    try:
        return numbers(elements, keyword, 1)[0]
    except (RefusalError, ValueError, TypeError, OverflowError):
        return None
