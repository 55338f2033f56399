"""Where a run meets the world: sinograms into x̂ = f(y), and x̂ into a DICOM series and an .npy beside it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.core.progress import Progress, say
from ctrobust.core.provenance import provenance
from ctrobust.core.units import hu_from_relative
from ctrobust.export import (
    HIGHEST_HU,
    LOWEST_HU,
    Derivation,
    GrowingArray,
    ImageSeries,
    Plane,
    beyond_range,
    new_folder,
    nobody,
    write_series,
)
from ctrobust.ingest import Refused
from ctrobust.networks.checkpoint import weights_sha256
from ctrobust.operators import Projector
from ctrobust.recipes import Recipe, read_recipe
from ctrobust.reconstruct import LearnedReconstructor, load
from ctrobust.reconstruct.load import run_folder
from ctrobust.reconstruct.sinogram_file import open_sinograms

STEP_MM = 1.0
"""Between the slices of bare sinograms, whose places nobody knows; said in their headers."""
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Run:
    """f of a run folder, with the recipe it was trained by."""

    f: LearnedReconstructor
    recipe: Recipe

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of x̂."""
        return self.f.projector.image_shape

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Spacing of the rows and of the columns of x̂."""
        return (cast(Projector, self.f.projector).geometry.pixel_mm,) * 2

    @property
    def batch_size(self) -> int:
        """Slices reconstructed at a time: what fitted this run's evaluation."""
        return self.recipe.evaluate.batch_size

    def image_hu(self, y: Tensor) -> NDArray[np.float32]:
        """f(y) in HU: (B, 1, views, bins) → (B, H, W). Raises UserError where f gives no number."""
        with torch.no_grad():
            x = self.f(y.to(self.f.projector.device))[:, 0].cpu().numpy()
        if not np.isfinite(x).all():
            raise UserError("f gives NaN or infinity on this input; is it in mm of water?")
        return hu_from_relative(x)

    def derivation(self, *, simulated: bool) -> Derivation:
        """What the headers say of this run."""
        scan, (views, bins) = self.recipe.scan, self.f.projector.sinogram_shape
        born = provenance(seed=self.recipe.seed, device="", threads=0)
        noise = f"{scan.photons:g} photons a ray" if scan.photons else "noiseless"
        return Derivation(
            method=str(self.recipe.method),
            version=str(born["version"]),
            commit=None if born["commit"] is None else str(born["commit"]),
            weights_sha256=weights_sha256(self.f.network),
            scan=f"{scan.geometry} beam, {views} views of {bins} bins" + f", {noise}" * simulated,
            simulated=simulated,
        )


@dataclass(frozen=True)
class Made:
    """A series that was written: DIR/`name`/ and DIR/`name`.npy. `patient` is a pseudonym, empty for nobody."""

    name: str
    patient: str
    slices: int


@dataclass(frozen=True)
class Reconstruction:
    """What was made, and the files that were not taken."""

    made: tuple[Made, ...]
    refused: tuple[Refused, ...] = ()


def open_run(folder: Path, device: str = "cpu") -> Run:
    """f of a run folder; raises UserError as `load` does, and on a run that is of no CT."""
    run = Run(load(folder, device=device), read_recipe(run_folder(folder) / "recipe.yaml"))
    if run.recipe.scan.dense or run.recipe.data.pictures:
        raise UserError(
            f"{folder}: its images are no CT, so there is no DICOM of them; use ctrobust.load in Python"
        )
    return run


def reconstruct_sinograms(run: Run, path: Path, out: Path, *, dataset: str | None = None) -> Reconstruction:
    """x̂ of every sinogram of a file, into the new folder `out`: on the run's grid, centred on 0, of no patient.

    Raises UserError as `open_sinograms` does, and where f gives no number; nothing is left behind then.
    """
    with (
        open_sinograms(path, run.f.projector.sinogram_shape, dataset) as sinograms,
        new_folder(out) as part,
    ):
        starts = range(0, len(sinograms), run.batch_size)
        batches = (sinograms[start : start + run.batch_size] for start in starts)
        image_hu = save_images(run, Progress(batches, "batches", total=len(starts)), part / "sinogram.npy")
        series = ImageSeries(
            image_hu,
            _planes(run, len(sinograms)),
            nobody(sha256_of(path)),
            run.derivation(simulated=False),
            comment=f"No patient. The places of the slices are unknown: they are set {STEP_MM:g} mm apart.",
        )
        return Reconstruction((write_images(series, part / "sinogram"),))


def save_images(run: Run, sinograms: Iterable[Tensor], path: Path) -> NDArray[np.float32]:
    """f(y) in HU of batch after batch, (N, H, W) in the .npy file `path` and mapped from it; holds one batch."""
    with GrowingArray(path, run.shape) as images:
        for y in sinograms:
            images.append(run.image_hu(y))
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return mapped


def write_images(series: ImageSeries, folder: Path) -> Made:
    """The DICOM series in the new `folder`; says what its files cannot hold."""
    cut = sum(map(beyond_range, series.image_hu))
    if cut:
        say(
            f"{folder.name}: {cut} pixels beyond {LOWEST_HU} … {HIGHEST_HU} HU are cut off there in DICOM, "
            "not in .npy"
        )
    write_series(series, folder)
    return Made(folder.name, series.subject.patient, len(series.planes))


def _planes(run: Run, count: int) -> list[Plane]:
    centres = (Plane((1, 1), (1.0, 1.0), (0.0, 0.0, STEP_MM * index), AXIAL) for index in range(count))
    return [centre.regridded(run.shape, run.pixel_mm) for centre in centres]
