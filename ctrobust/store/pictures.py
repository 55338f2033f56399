"""Pictures that are no CT, read as the slices of a store are: for compressed sensing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.core.records import Split
from ctrobust.store.dataset import MEMORY_BUDGET_BYTES
from ctrobust.store.listed import PARTS

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """Pictures, (H, W) or (C, H, W) in [0, 1], and of each what is independent: its own name, or its photograph's."""

    pictures: Sequence[Picture]
    owners: Sequence[str]


class PictureStore:
    """The pictures of a folder, N of them: train first, then val, then eval, as published.

    image_shape    (H, W)
    channels       C
    patients       N names of what is independent: what stands for a patient
    source_sha256  N hex digests, of the whole and the place in it

    files: all that the pictures are made of. Has what training and evaluation read of a `Store`, but neither HU nor
    millimetres. Raises UserError where the parts' pictures differ in size.
    """

    def __init__(self, path: Path, parts: Mapping[str, Part], files: Sequence[Path]) -> None:
        self.path, self._files = path.resolve(), list(files)
        self._parts = [parts[name] for name in PARTS]
        shapes = [part.pictures[0].shape for part in self._parts]
        if len(set(shapes)) > 1:
            found = ", ".join(" × ".join(map(str, shape)) for shape in shapes)
            raise UserError(f"{path}: pictures of {found} to train, select and judge on; give them one size")
        *colours, rows, columns = shapes[0]
        self.channels = colours[0] if colours else 1
        self.image_shape = rows, columns
        self.patients = tuple(owner for part in self._parts for owner in part.owners)

    def __len__(self) -> int:
        return len(self.patients)

    def image(self, index: int) -> Picture:
        """(C, H, W) float32 in [0, 1] of one picture. Raises IndexError out of range."""
        place = index
        for part in self._parts:
            if 0 <= place < len(part.pictures):
                return part.pictures[place].reshape(self.channels, *self.image_shape)
            place -= len(part.pictures)
        raise IndexError(f"picture {index}: there are {len(self)}, counted from 0")

    def close(self) -> None:
        """As of a `Store`; no file is held open."""

    def published_split(self) -> Split:
        """The parts as they came."""
        first, bounds = 0, []
        for part in self._parts:
            bounds.append(tuple(range(first, first + len(part.pictures))))
            first += len(part.pictures)
        train, val, judged = bounds
        return Split(by="list", seed=0, store_sha256=self.sha256, train=train, val=val, eval=judged)

    @cached_property
    def sha256(self) -> str:
        """Of the names and bytes of all files, and of the size they are read at; computed once."""
        listing = [f"{path.name} {sha256_of(path)}" for path in self._files]
        return hashlib.sha256("\n".join([f"{self.image_shape}", *listing]).encode()).hexdigest()

    @cached_property
    def source_sha256(self) -> tuple[str, ...]:
        return tuple(hashlib.sha256(f"{self.sha256}/{i}".encode()).hexdigest() for i in range(len(self)))


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """Yields (x, index in the store): x (C, H, W) float32 in [0, 1]; what `SliceDataset` is for slices."""

    def __init__(self, store: PictureStore, indices: Sequence[int]) -> None:
        self.store, self.indices = store, list(indices)
        numbers = store.channels * store.image_shape[0] * store.image_shape[1]
        self.in_memory = 4 * numbers * len(self.indices) <= MEMORY_BUDGET_BYTES
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        index = self.indices[position]
        if index in self._kept:
            return self._kept[index], index
        x = torch.from_numpy(self.store.image(index).copy())
        if self.in_memory:
            self._kept[index] = x
        return x, index
