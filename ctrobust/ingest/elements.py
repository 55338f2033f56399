"""Values out of a header: text, numbers, or a refusal that names the element."""

import math
from functools import cache
from typing import Any, Protocol

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from ctrobust.ingest.refusal import RefusalError

TEXT = frozenset({"CS", "DS", "IS", "LO", "SH", "UI"})
ESCAPE = b"\x1b"


class Elements(Protocol):
    """A data set, or one frame of it: whatever answers a keyword with a value or None."""

    def get(self, keyword: str, /) -> Any: ...


class Header:
    """A data set whose plain values are read as they stand: numbers as text, several as a tuple of text.

    pydicom makes an object of each value, looks it over and warns: that took more than reading the file.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def get(self, keyword: str, /) -> Any:
        tag, vr = _known(keyword)
        raw = self._dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.value is not None:
            vr = raw.VR or vr
            if vr == "US" and len(raw.value) == 2:
                return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
            # ASCII is the same in every character set, as long as none is switched to on the way.
            if vr in TEXT and raw.value.isascii() and ESCAPE not in raw.value:
                values = raw.value.decode("ascii").strip(" \0").split("\\")
                return tuple(values) if len(values) > 1 else values[0]
        return None if raw is None else self._dataset.get(keyword)


@cache
def _known(keyword: str) -> tuple[BaseTag, str]:
    """The tag and the VR of an element by its name."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    return tag, dictionary_VR(tag)


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
