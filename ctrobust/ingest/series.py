"""The first pass: headers into patients, series and an order that depends on the files' content alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from ctrobust.ingest.header import SliceHeader, read_header
from ctrobust.ingest.refusal import Refused


@dataclass(frozen=True)
class Series:
    """Slices of one series by their position along the normal; a slice given twice stands twice."""

    slices: tuple[SliceHeader, ...]


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
        sizes = Counter({header.instance: header.size for header in self.slices}.values())
        return max(sizes, key=lambda size: (sizes[size], size), default=None)


def scan(files: Iterable[Path]) -> Scan:
    """Read every header (`files` may be an iterator that shows progress); never raises for a bad file.

    Patients, and the series of a patient, are ordered by the smallest SHA-256 among their files: the same
    for any names, folders and pseudonym key, and nothing about a person can be read from it.
    """
    headers: list[SliceHeader] = []
    refused: list[Refused] = []
    for path in files:
        found = read_header(path)
        if isinstance(found, SliceHeader):
            headers.append(found)
        else:
            refused.append(found)
    return Scan(_in_series(headers), tuple(refused))


def _in_series(headers: list[SliceHeader]) -> tuple[Series, ...]:
    patient_rank: dict[str, str] = {}
    series_rank: dict[str, str] = {}
    for header in headers:
        for rank, key in ((patient_rank, header.patient), (series_rank, header.series)):
            rank[key] = min(rank.get(key, header.sha256), header.sha256)

    def place(header: SliceHeader) -> tuple[str, str, float, str, Path]:
        ranks = patient_rank[header.patient], series_rank[header.series]
        return (*ranks, header.position_mm, header.sha256, header.path)

    in_order = sorted(headers, key=place)
    return tuple(Series(tuple(group)) for _, group in groupby(in_order, key=lambda header: header.series))
