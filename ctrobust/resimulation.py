"""DICOM slices as a run would have measured them, y = A x with its noise, and reconstructed: back into DICOM."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.progress import Progress, say
from ctrobust.core.records import SliceRecord
from ctrobust.core.seeds import derive_seed
from ctrobust.core.units import AIR_HU, relative_from_hu
from ctrobust.export import (
    Derivation,
    ImageSeries,
    Plane,
    Subject,
    kept,
    new_folder,
    pseudonymous,
    read_source,
)
from ctrobust.ingest import Pseudonyms, Refused, Scan, Series, find_files, read_slices, scan
from ctrobust.ingest.archives import open_source
from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.refusal import RefusalError, refusing
from ctrobust.ingest.spool import sha256_of_stream
from ctrobust.operators.measurement import measure
from ctrobust.reconstruction import Made, Reconstruction, Run, save_images, write_images

Outcome = tuple[Series, SliceHeader, SliceRecord | Refused]


class NothingReconstructedError(UserError):
    """No slice could be taken, nothing was written; `refused` says why for each file."""

    def __init__(self, folder: Path, refused: tuple[Refused, ...]) -> None:
        reasons = ", ".join(sorted({entry.reason for entry in refused}))
        super().__init__(
            f"{folder}: nothing could be taken, {len(refused)} files refused ({reasons}); name a folder of CT slices"
        )
        self.refused = refused


@dataclass(frozen=True)
class Taken:
    """A slice to reconstruct, at its own size; all of a series share one `subject`."""

    header: SliceHeader
    record: SliceRecord
    subject: Subject


def reconstruct_folder(
    run: Run, folder: Path, out: Path, *, keep_patient: bool = False, pseudonyms: Pseudonyms | None = None
) -> Reconstruction:
    """x̂ = f(A x + noise) of every slice under `folder`, series by series, into the new folder `out`.

    keep_patient: the source's own patient and study in the headers, instead of pseudonyms; by default those under
    the user's own key, as in a store. Holds one batch of slices at a time. Raises UserError on a wrong folder,
    NothingReconstructedError where no slice is left; nothing is left behind then.
    """
    found = find_files([folder])
    headers = scan(Progress(found.files, "headers", total=len(found.files)))
    refused = [*found.refused, *headers.refused]
    pseudonyms = pseudonyms or Pseudonyms.from_file()
    outcomes = Progress(_read(headers, pseudonyms), "slices", total=len(headers.slices))
    made: list[Made] = []
    derivation = run.derivation(simulated=True)
    with new_folder(out) as part:
        taken = _taken(outcomes, pseudonyms.key, keep_patient, refused)
        for subject, slices in groupby(taken, key=attrgetter("subject")):
            made.append(_reconstruct(run, slices, subject, derivation, part, len(made)))
        if not made:
            raise NothingReconstructedError(folder, tuple(refused))
    return Reconstruction(tuple(made), tuple(refused))


def on_grid(run: Run, record: SliceRecord) -> Tensor:
    """x (1, H, W) of a slice on the run's grid, as the slices of a store are brought to it."""
    image_hu = np.maximum(record.image_hu, np.float32(AIR_HU))
    return torch.from_numpy(
        relative_from_hu(regrid(image_hu, record.pixel_mm, run.shape, run.pixel_mm, AIR_HU))
    )[None]


def _read(headers: Scan, pseudonyms: Pseudonyms) -> Iterator[Outcome]:
    """Series by series: each has one size, and what other series have is of no matter here."""
    for series in headers.series:
        outcomes = read_slices(Scan((series,), ()), pseudonyms)
        for header, outcome in zip(series.slices, outcomes, strict=True):
            yield series, header, outcome


def _taken(outcomes: Iterable[Outcome], key: bytes, keep: bool, refused: list[Refused]) -> Iterator[Taken]:
    """The slices that may be reconstructed; the others are noted in `refused`."""
    known: Series | None = None
    for series, header, outcome in outcomes:
        if isinstance(outcome, Refused):
            refused.append(outcome)
            continue
        try:
            if header.burned_in and not keep:
                raise RefusalError("burned-in annotation, which may name the patient")
            if series is not known:
                subject = _subject(series, header, outcome, key, keep)
                known = series
        except RefusalError as refusal:
            refused.append(Refused(header.path, header.sha256, refusal.reason, refusal.detail))
        else:
            yield Taken(header, outcome, subject)


def _subject(series: Series, header: SliceHeader, record: SliceRecord, key: bytes, keep: bool) -> Subject:
    """Whose the series is, by the header of its first slice."""
    with refusing("damaged DICOM"), open_source(header.source) as stream:
        if sha256_of_stream(stream) != header.sha256:
            raise RefusalError("changed while it was being read")
        source = read_source(stream)
        if not keep:
            return pseudonymous(source, record.patient, record.series, key)
        burned_in = any(each.burned_in for each in series.slices)
        subject = kept(source, record.patient, record.series, key, burned_in=burned_in)
    if subject.left_out:
        say(f"{record.series}: unreadable in its source and left out: {', '.join(subject.left_out)}")
    return subject


def _reconstruct(
    run: Run, slices: Iterator[Taken], subject: Subject, derivation: Derivation, folder: Path, number: int
) -> Made:
    headers: list[SliceHeader] = []
    name = subject.series
    image_hu = save_images(run, _sinograms(run, slices, headers), folder / f"{name}.npy")
    sources = list(map(_plane, headers))
    planes = [source.regridded(run.shape, run.pixel_mm) for source in sources]
    cut = sum(source.reaches_beyond(plane) for source, plane in zip(sources, planes, strict=True))
    if cut:
        say(f"{name}: {cut} of {len(planes)} slices are larger than the run's field of view, and cut off")
    lossy = [each.lossy for each in headers]
    return write_images(ImageSeries(image_hu, planes, subject, derivation, lossy, number), folder / name)


def _plane(header: SliceHeader) -> Plane:
    return Plane(header.size, header.pixel_mm, header.corner_mm, header.orientation)


def _sinograms(run: Run, slices: Iterator[Taken], headers: list[SliceHeader]) -> Iterator[Tensor]:
    """y of batch after batch, with the noise that the run's evaluation would have; theirs go to `headers`."""
    scan = run.recipe.scan
    while batch := list(islice(slices, run.batch_size)):
        headers.extend(each.header for each in batch)
        x = torch.stack([on_grid(run, each.record) for each in batch]).to(run.f.projector.device)
        seeds = [_noise_seed(run, each.header) for each in batch]
        yield measure(run.f.projector, x, scan.photons, seeds, electronic_counts=scan.electronic_counts)


def _noise_seed(run: Run, header: SliceHeader) -> int:
    """As `Experiment.measure` has it; the frames of one file share its SHA-256 and must not share their noise."""
    frame = [header.frame] if header.frame else []
    return derive_seed(run.recipe.seed, "noise", header.sha256, *frame)
