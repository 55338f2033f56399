"""Which pictures stand in the page itself: as many as keep it below 10 MB, those that matter most first."""

import base64
from collections.abc import Iterable

from ctrobust.report.style import Picture

MOST_BYTES = 10_000_000
"""Of the whole page, as a mail takes it."""


def data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def embedded(pictures: Iterable[Picture], without: int) -> frozenset[Picture]:
    """Those that fit, in their order; without: the bytes of the page when it has none of them."""
    found, room = set(), MOST_BYTES - without
    for picture in pictures:
        size = len(data_uri(picture))
        if size <= room:
            found.add(picture)
            room -= size
    return frozenset(found)
