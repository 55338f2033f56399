"""What was refused, for the terminal: by reason, with a few of the files."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrobust.ingest import Refused

MOST_NAMES = 20
"""File names shown for one reason."""


def refused_lines(refused: Iterable["Refused"], rest: str = "") -> Iterator[str]:
    """A line a reason with its count, then its files; `rest` tells where the names beyond MOST_NAMES are."""
    from ctrobust.ingest.refusal import printable

    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for entry in refused:
        detail = f" ({entry.detail})" if entry.detail else ""
        reasons[entry.reason].append(f"  {printable(str(entry.path))}{detail}")
    for reason, lines in sorted(reasons.items()):
        yield f"\nrefused, {reason}: {len(lines)}"
        yield from lines[:MOST_NAMES]
        if len(lines) > MOST_NAMES:
            yield f"  ... and {len(lines) - MOST_NAMES} more{rest}"
