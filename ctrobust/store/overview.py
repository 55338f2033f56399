"""What a store holds, in numbers: one pass over its images, which also proves that all of them can be read."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrobust.store.reader import Store

HU_EDGES = np.array([-1024.5, -1023.5, -950, -700, -500, -200, -100, -20, 20, 80, 200, 400, 1000, 3071])
"""The first range is what scanners leave outside their circle; then air, lung, fat, water, soft tissue, bone, metal."""


@dataclass(frozen=True)
class SeriesOverview:
    """One series. spacing_mm: the median step between its slices, None for a single one.

    span_mm and spacing_mm are None where the places of the slices are not known.
    """

    patient: str
    series: str
    indices: tuple[int, ...]
    pixel_mm: tuple[float, float]
    span_mm: tuple[float, float] | None
    spacing_mm: float | None


@dataclass(frozen=True)
class HuOverview:
    """Pixels of all slices by HU: counts between `edges` and beyond the last, extremes, and the mean over slices."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    lowest: float
    highest: float
    mean: float


def series_of(store: Store) -> list[SeriesOverview]:
    """In the order of the store."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, names in enumerate(zip(store.patients, store.series, strict=True)):
        members.setdefault(names, []).append(index)
    found = []
    for (patient, series), indices in members.items():
        places = np.sort(store.position_mm[indices])
        known = bool(np.isfinite(places).all())
        rows_mm, columns_mm = store.pixel_mm[indices[0]]
        found.append(
            SeriesOverview(
                patient,
                series,
                tuple(indices),
                (float(rows_mm), float(columns_mm)),
                (float(places[0]), float(places[-1])) if known else None,
                float(np.median(np.diff(places))) if known and len(places) > 1 else None,
            )
        )
    return found


def hu_of(store: Store, indices: Iterable[int]) -> HuOverview:
    """Of these slices. Raises UserError on the first that cannot be read."""
    edges = np.append(HU_EDGES, np.inf)
    counts = np.zeros(len(edges) - 1, np.int64)
    lowest, highest, means = np.inf, -np.inf, []
    for index in indices:
        image = store.image(index)
        counts += np.histogram(image, edges)[0]
        lowest, highest = min(lowest, float(image.min())), max(highest, float(image.max()))
        means.append(float(image.mean(dtype=np.float64)))
    return HuOverview(edges, counts, lowest, highest, float(np.mean(means)))
