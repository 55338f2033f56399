"""Where data and physics meet: a recipe opened on its store, its split and its operator."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.records import Split
from ctrobust.core.seeds import derive_seed
from ctrobust.operators.measurement import measure
from ctrobust.pictures import open_pictures
from ctrobust.pipeline import embedded_store
from ctrobust.recipes import Recipe
from ctrobust.recipes.schema import DataRecipe
from ctrobust.reconstruct.learned import Operator
from ctrobust.reconstruct.load import build_projector
from ctrobust.store.dataset import SliceDataset, common_pixel_mm, require_pixel_mm
from ctrobust.store.pictures import PictureDataset, PictureStore
from ctrobust.store.reader import Store
from ctrobust.store.split import make_split, read_split


@dataclass(frozen=True)
class Experiment:
    """A resolved recipe with what it names: training and evaluation take their batches from here."""

    recipe: Recipe
    store: Store | PictureStore
    split: Split
    projector: Operator

    @property
    def in_hu(self) -> bool:
        """Whether x is of a CT slice, x = 1 + HU/1000; else of a picture in [0, 1]."""
        return isinstance(self.store, Store)

    def slices(self, indices: Sequence[int]) -> SliceDataset | PictureDataset:
        """x of these slices or pictures of the store, on the run's grid."""
        if isinstance(self.store, PictureStore):
            return PictureDataset(self.store, indices)
        pixel_mm = self.recipe.scan.pixel_mm
        assert pixel_mm is not None, "a resolved recipe has it"
        return SliceDataset(self.store, indices, size=self.recipe.data.size, pixel_mm=pixel_mm)

    def measure(self, x: Tensor, indices: Sequence[int]) -> Tensor:
        """y of x; the noise of a slice depends on the run's seed and the slice, not on when it is met."""
        seeds = [derive_seed(self.recipe.seed, "noise", self.store.source_sha256[index]) for index in indices]
        scan = self.recipe.scan
        return measure(
            self.projector,
            x.to(self.projector.device),
            scan.photons,
            seeds,
            electronic_counts=scan.electronic_counts,
        )

    def pair(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(y, x) of a few slices, on the operator's device."""
        dataset = self.slices(indices)
        x = torch.stack([dataset[position][0] for position in range(len(dataset))])
        return self.measure(x, indices), x.to(self.projector.device)


def open_experiment(recipe: Recipe, *, split: Path | None = None, device: str = "cpu") -> Experiment:
    """Open the store, take or make the split, settle the pixel size, build the operator.

    `split` (a run's own copy) goes before the recipe's. Raises UserError as each of these does.
    """
    if recipe.data.size < 2 ** (recipe.network.levels - 1):
        raise UserError(
            f"data.size {recipe.data.size} is too small for network.levels {recipe.network.levels}, which halves it "
            f"{recipe.network.levels - 1} times; give fewer levels or a larger size"
        )
    store = open_source(recipe.data)
    path = split or (Path(recipe.data.split) if recipe.data.split else None)
    parts = read_split(path, store) if path else _default_split(recipe, store)
    recipe = replace(recipe, scan=replace(recipe.scan, pixel_mm=_pixel_mm(recipe, store, parts)))
    projector = build_projector(recipe, device)
    if not (projector.matched or recipe.evaluate.allow_unmatched):
        raise UserError(
            f"scan.backend {projector.backend}: its transpose is not exact, so every attack would understate the worst "
            "case; take scan.backend=auto, or evaluate.allow_unmatched=true and a result that says so"
        )
    return Experiment(recipe, store, parts, projector)


def open_source(data: DataRecipe) -> Store | PictureStore:
    """The slices or pictures that a recipe names. Raises UserError where they are not there, or are something else."""
    if data.pictures is None:
        return Store(Path(data.store)) if data.store else embedded_store()
    if data.store is None:
        raise UserError(
            f"data.pictures is {data.pictures}, none of which is embedded; give its folder by --data"
        )
    return open_pictures(data.pictures, Path(data.store), data.size)


def _pixel_mm(recipe: Recipe, store: Store | PictureStore, parts: Split) -> float:
    """The recipe's, or the store's; pixels of pictures have no size, and count as 1 mm."""
    if isinstance(store, PictureStore):
        return recipe.scan.pixel_mm or 1.0
    size, crop = recipe.data.size, recipe.data.crop
    pixel_mm = recipe.scan.pixel_mm or common_pixel_mm(store, parts.train, size, crop=crop)
    if not recipe.data.resample:
        require_pixel_mm(store, parts.train + parts.val + parts.eval, size, pixel_mm, crop=crop)
    return pixel_mm


def _default_split(recipe: Recipe, store: Store | PictureStore) -> Split:
    data = recipe.data
    if isinstance(store, PictureStore):
        return store.published_split()
    return make_split(
        store,
        by="patient",
        eval_fraction=data.eval_fraction,
        val_fraction=data.val_fraction,
        seed=recipe.seed,
    )
