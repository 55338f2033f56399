"""What must not be mixed in one series, kept apart: by size, spacing, orientation, kernel, voltage, kind of
image, frame of reference, phase and acquisition.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.stack import SAME_PLACE_MM, is_uneven, levels

SAME_DIRECTION = 1e-3
SAME_PIXEL_MM = 1e-3
FEWEST_STEPS = 4
"""Acquisitions that stand evenly one after another are the steps of one scan, from this number on."""

Group = list[SliceHeader]


def grouped(headers: Iterable[SliceHeader]) -> list[Group]:
    """The slices by what may stand together, each renamed so that `series` tells the groups apart.

    The names come from rounded values of the group's own slices: a later run with more files agrees.
    Depends on the slices' content alone, not on their order.
    """
    in_order = sorted(headers, key=lambda header: (header.sha256, header.frame, header.path))
    return [
        _named(part, acquisition, trigger)
        for alike in _split(in_order, _exact)
        for group in _split_by_levels(alike)
        for acquisition, stretch in _by_acquisition(group)
        for trigger, part in _by_trigger(stretch)
    ]


def _exact(header: SliceHeader) -> Hashable:
    traits = header.traits
    return (
        *(header.series, header.size, traits.frame_of_reference, traits.kernel, traits.kvp),
        *(traits.flavour, traits.phase),
    )


def _split(headers: Group, key: Callable[[SliceHeader], Hashable]) -> list[Group]:
    groups: defaultdict[Hashable, Group] = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return list(groups.values())


def _split_by_levels(group: Group) -> list[Group]:
    """By orientation and spacing, which are numbers with noise."""
    directions = levels(np.array([header.orientation for header in group]), SAME_DIRECTION)
    pixels = levels(np.array([header.pixel_mm for header in group]), SAME_PIXEL_MM)
    keys = iter(np.hstack([directions, pixels]).tolist())
    return _split(group, lambda _: tuple(next(keys)))


def _by_acquisition(group: Group) -> list[tuple[str, Group]]:
    """Step-and-shoot scans number every step: taken together where that makes one even stack."""
    parts = _split(group, lambda header: header.traits.acquisition)
    if len(parts) == 1 or _are_steps(parts):
        return [("", group)]
    return [(part[0].traits.acquisition, part) for part in parts]


def _are_steps(parts: list[Group]) -> bool:
    if len(parts) < FEWEST_STEPS:
        return False
    stretches = sorted(sorted(header.position_mm for header in part) for part in parts)
    apart = all(low[-1] + SAME_PLACE_MM < high[0] for low, high in pairwise(stretches))
    steps = np.diff(np.concatenate(stretches))
    steps = steps[steps > SAME_PLACE_MM]
    return apart and not is_uneven(steps) and bool(steps.max() < 1.5 * np.median(steps))


def _by_trigger(group: Group) -> list[tuple[str, Group]]:
    """A trigger time is a phase only where a place was scanned at several of them; else it is the clock."""
    places = levels(np.array([header.position_mm for header in group]), SAME_PLACE_MM)
    seen = {(int(place), header.traits.trigger) for place, header in zip(places, group, strict=True)}
    if len(seen) == len(set(places.tolist())):
        return [("", group)]
    return [(part[0].traits.trigger, part) for part in _split(group, lambda header: header.traits.trigger)]


def _named(group: Group, acquisition: str, trigger: str) -> Group:
    first = group[0]
    traits = first.traits
    # To the tolerances: what was kept apart differs by more, and so in name.
    rounded = [f"{round(value, 3) + 0.0:.3f}" for value in (*first.orientation, *first.pixel_mm)]
    parts = (
        *(
            first.series,
            *map(str, first.size),
            *rounded,
            traits.frame_of_reference,
            traits.kernel,
            traits.kvp,
        ),
        *("\\".join(traits.flavour), *traits.phase, acquisition, trigger),
    )
    name = "|".join(parts)
    return [replace(header, series=name) for header in group]
