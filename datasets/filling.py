"""A reader's records into a store, and the account of what went in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.core.records import SliceRecord
from ctrobust.ingest.canvas import Canvas
from ctrobust.pipeline import SIZES
from ctrobust.store import write_store


@dataclass
class Account:
    """What went into a store: slices per (patient, series), in the order of the store."""

    slices: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def patients(self) -> int:
        return len({patient for patient, _ in self.slices})


def fill_store(records: Iterable[SliceRecord], out: Path, *, size: int | None = None) -> Account:
    """Write the records of a reader into the store `out`, which must not exist yet; holds one slice at a time.

    size: resample to (size, size) pixels over the same field of view. Raises UserError on a wrong argument, where
    there is no slice, and without `size` where slices differ in size; then there is no store.
    """
    if size is not None and size not in SIZES:
        raise UserError(f"--size {size}: give a whole number from {SIZES[0]} to {SIZES[-1]}")
    if out.exists() or out.is_symlink():
        raise UserError(
            f"{out}: exists already, and nothing is added to it; choose another name, or delete it to read all again"
        )
    account = Account()
    counted = _counted(records, size, account)
    first = next(counted, None)
    if first is None:
        raise UserError(f"{out}: not made, no file could be taken; see the reasons")
    write_store(out, chain([first], counted))
    return account


def _counted(records: Iterable[SliceRecord], size: int | None, account: Account) -> Iterator[SliceRecord]:
    shape = None
    for record in records:
        found = record.image_hu.shape
        if size is None and shape not in (None, found):
            own, first = ("x".join(map(str, one)) for one in (found, shape or ()))
            raise UserError(
                f"slices of {own} pixels (series {record.series}) after slices of {first}: a store has one size; "
                "give --size N to resample all, or make two stores"
            )
        shape = found
        key = (record.patient, record.series)
        account.slices[key] = account.slices.get(key, 0) + 1
        yield record if size is None else _on_canvas(record, Canvas(size, None))


def _on_canvas(record: SliceRecord, canvas: Canvas) -> SliceRecord:
    image_hu, pixel_mm = canvas.fit(record.image_hu, record.pixel_mm)
    return replace(record, image_hu=image_hu, pixel_mm=pixel_mm)
