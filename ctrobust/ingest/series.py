"""The first pass: headers into patients, series and an order that depends on the files' content alone."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ctrobust.core.ahead import ahead
from ctrobust.ingest.archives import Source
from ctrobust.ingest.grouping import Group, grouped
from ctrobust.ingest.header import SliceHeader, read_headers
from ctrobust.ingest.refusal import Refused
from ctrobust.ingest.stack import SAME_PLACE_MM, SeriesGeometry, geometry_of, levels


@dataclass(frozen=True)
class Series:
    """Slices of one series by their position along the normal; a slice given twice stands twice.

    Of slices at one place the better comes first: never compressed with loss, not derived, more bits; of equals
    the smallest SHA-256.
    """

    slices: tuple[SliceHeader, ...]

    @cached_property
    def geometry(self) -> SeriesGeometry:
        """Spacing, gaps and tilt, as the headers have it."""
        return geometry_of(self.slices)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """For each slice which place along the normal it has, counted from 0."""
        return _places(self.slices)


@dataclass(frozen=True)
class Scan:
    """What the headers promise. The pixels may still refuse a slice."""

    series: tuple[Series, ...]
    refused: tuple[Refused, ...]

    @property
    def slices(self) -> tuple[SliceHeader, ...]:
        """All slices in the order of the store."""
        return tuple(header for series in self.series for header in series.slices)

    @cached_property
    def common_size(self) -> tuple[int, int] | None:
        """(rows, columns) of most slices, each counted once; of equally common sizes the larger; None: no slice."""
        sizes: Counter[tuple[int, int]] = Counter()
        for series in self.series:
            # All of a series have one size.
            sizes[series.slices[0].size] += len(set(series.places))
        return max(sizes, key=lambda size: (sizes[size], size), default=None)


def scan(
    files: Iterable[Source],
    *,
    refuse_gaps: bool = False,
    refuse_tilt: bool = False,
    refuse_variable: bool = False,
    workers: int = 1,
) -> Scan:
    """Read every header (`files` may be an iterator that shows progress); never raises for a bad file.

    Series with gaps, of a tilted gantry or with variable spacing are taken and recorded in their geometry,
    unless refused by option: then with all their slices. Patients, and the series of a patient, are ordered by
    the smallest SHA-256 among their files: the same for any names, folders and pseudonym key, and nothing about
    a person can be read from it. workers: threads that read.
    """
    headers: list[SliceHeader] = []
    refused: list[Refused] = []
    for outcomes in ahead(read_headers, files, workers):
        for found in outcomes:
            if isinstance(found, SliceHeader):
                headers.append(found)
            else:
                refused.append(found)
    taken = []
    for series in _in_order(grouped(headers)):
        reason = _objection(series.geometry, refuse_gaps, refuse_tilt, refuse_variable)
        if reason is None:
            taken.append(series)
        else:
            refused.extend(Refused(header.path, header.sha256, reason) for header in series.slices)
    return Scan(tuple(taken), tuple(refused))


def _objection(geometry: SeriesGeometry, gaps: bool, tilt: bool, variable: bool) -> str | None:
    if gaps and geometry.gaps:
        return "its series has gaps, refused by option"
    if variable and geometry.variable:
        return "its series has variable spacing, refused by option"
    if tilt and geometry.tilt_deg:
        return "its gantry was tilted, refused by option"
    return None


def _in_order(groups: list[Group]) -> Iterator[Series]:
    patient_rank: dict[str, str] = {}
    for group in groups:
        patient = group[0].patient
        patient_rank[patient] = min([header.sha256 for header in group] + [patient_rank.get(patient, "g")])

    def place(group: Group) -> tuple[str, str, str, str]:
        smallest = min(header.sha256 for header in group)
        # The frames of one file, split into phases, share their SHA-256.
        return patient_rank[group[0].patient], group[0].patient, smallest, group[0].series

    for group in sorted(groups, key=place):
        ranked = zip(_places(group), group, strict=True)
        yield Series(tuple(header for _, header in sorted(ranked, key=_better)))


def _better(ranked: tuple[int, SliceHeader]) -> tuple[object, ...]:
    place, header = ranked
    quality = header.lossy, header.derived, -header.bits_stored
    return place, *quality, header.sha256, header.frame, header.path


def _places(slices: Iterable[SliceHeader]) -> tuple[int, ...]:
    positions = np.array([header.position_mm for header in slices])
    return tuple(int(place) for place in levels(positions, SAME_PLACE_MM))
