"""Raw projections of a parallel-beam scan from a Data Exchange file (HDF5), as synchrotron beamlines write them.

De Carlo et al., "Scientific data exchange: a schema for HDF5-based storage of raw and analyzed data", J. Synchrotron
Rad. 21 (2014). Read are the group `exchange` and of it data, data_white, data_dark and theta.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctrobust.core.errors import UserError

AXES = ("theta", "y", "x")
RADIANS = dict.fromkeys(("degrees", "degree", "deg", "°"), np.pi / 180) | dict.fromkeys(
    ("radians", "radian", "rad"), 1.0
)


@dataclass(frozen=True)
class Projections:
    """A scan as the detector counted it; row r of all views is the raw sinogram of slice r.

    data        (views, rows, bins) float32, counts
    white       (frames, rows, bins) float32, counts with the beam on and no object in it
    dark        (frames, rows, bins) float32, counts with the beam off
    angles_rad  (views,) float64
    """

    data: NDArray[np.float32]
    white: NDArray[np.float32]
    dark: NDArray[np.float32]
    angles_rad: NDArray[np.float64]


def read_projections(
    path: Path | str, *, rows: slice = slice(None), theta_deg: ArrayLike | None = None
) -> Projections:
    """The projections of a Data Exchange file, all detector rows or those of a slice.

    rows: what is left out is not read from disk. theta_deg: the angle of every view, in degrees, for a file that has
    no exchange/theta, or a wrong one. The file's own angles count in its attribute `units`, degrees where there is
    none; `axes` says the order of a stack's axes, theta:y:x where there is none.
    Raises UserError on what is not HDF5, lacks one of the four, or has shapes or angles that do not fit.
    """
    path = Path(path)
    with _open(path) as file:
        data, white, dark = (_stack(path, file, name, rows) for name in ("data", "data_white", "data_dark"))
        angles = _angles(path, file, theta_deg)
    for name, frames in {"data_white": white, "data_dark": dark}.items():
        if frames.shape[1:] != data.shape[1:]:
            raise UserError(
                f"{path}: exchange/{name} has frames of {_by(frames.shape[1:])} (rows × bins), exchange/data of "
                f"{_by(data.shape[1:])}; name a file whose frames come from one detector region"
            )
    _require_angles(path, angles, len(data), "exchange/theta" if theta_deg is None else "theta_deg")
    return Projections(data, white, dark, angles)


def _open(path: Path) -> Any:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a Data Exchange file") from error
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: not an HDF5 file; name a Data Exchange file (.h5)")
    try:
        # Beamline files lie on read-only and network disks, where a lock is refused.
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise UserError(f"{path}: the file is truncated or damaged; copy it again") from error


def _dataset(path: Path, file: Any, name: str, cure: str) -> Any:
    found = file.get(f"exchange/{name}")
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{path}: has no exchange/{name}; {cure}")
    if found.dtype.kind not in "fiu":
        raise UserError(f"{path}: exchange/{name} holds {found.dtype}, not numbers; {cure}")
    return found


def _stack(path: Path, file: Any, name: str, rows: slice) -> NDArray[np.float32]:
    stack = _dataset(path, file, name, "name a Data Exchange file with exchange/data, data_white, data_dark")
    axes = _text(stack, "axes", ":".join(AXES))
    order = [axis.strip().removesuffix("_white").removesuffix("_dark") for axis in axes.split(":")]
    if stack.ndim != 3 or sorted(order) != sorted(AXES):
        raise UserError(
            f"{path}: exchange/{name} of shape {stack.shape} with axes {axes!r}; it must have the three axes "
            f"{':'.join(AXES)}, in any order that its attribute axes says"
        )
    places = [order.index(axis) for axis in AXES]
    chosen = tuple(slice(*rows.indices(stack.shape[place])) if axis == "y" else slice(None)
                   for place, axis in enumerate(order))  # fmt: skip
    frames: NDArray[np.float32] = _values(path, stack, chosen).astype(np.float32).transpose(places)
    if not frames.size:
        raise UserError(
            f"{path}: exchange/{name} of shape {stack.shape} has nothing in {rows}; name other rows or another file"
        )
    return frames


def _values(path: Path, dataset: Any, chosen: Any = ()) -> Any:
    try:
        return dataset[chosen]
    except OSError as error:
        raise UserError(
            f"{path}: {dataset.name[1:]} cannot be read ({error}); copy the file again, or, if a compression filter "
            "is missing, install and import hdf5plugin first"
        ) from error


def _angles(path: Path, file: Any, theta_deg: ArrayLike | None) -> NDArray[np.float64]:
    if theta_deg is not None:
        return np.deg2rad(np.asarray(theta_deg, dtype=np.float64))
    theta = _dataset(path, file, "theta", "give the angle of every view as theta_deg=…, in degrees")
    units = _text(theta, "units", "degrees")
    if units.strip().lower() not in RADIANS:
        raise UserError(
            f"{path}: exchange/theta is in {units!r}, neither degrees nor radians; give the angle of every view as "
            "theta_deg=…, in degrees"
        )
    angles: NDArray[np.float64] = _values(path, theta).astype(np.float64) * RADIANS[units.strip().lower()]
    return angles


def _require_angles(path: Path, angles: NDArray[np.float64], views: int, source: str) -> None:
    if angles.shape != (views,) or not np.isfinite(angles).all():
        raise UserError(
            f"{path}: {source} of shape {angles.shape} for {views} views; give one finite angle a view as "
            "theta_deg=…, in degrees"
        )


def _text(dataset: Any, attribute: str, default: str) -> str:
    """An attribute as text: files hold it as a string, as bytes, or as an array of one of them."""
    value = np.ravel(dataset.attrs.get(attribute, default))[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
