"""The light box: clean and attacked images to wipe between, in the windows of lung, soft tissue and bone.

One PNG carries all three windows, one a colour channel; the page shows a channel as grey by an SVG filter, so that
nothing is computed twice and no pixel is read back.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctrobust.core.units import hu_from_relative
from ctrobust.report.numbers import decibel
from ctrobust.report.scale import Pixels, Window
from ctrobust.report.slices import Shown, psnr_db

WINDOWS = (
    Window("lung", -1350, 150),
    Window("soft tissue", -160, 240),
    Window("bone", -500, 1300),
)
"""The usual ones: W 1500 L −600, W 400 L 40, W 1800 L 400."""

MOST_BYTES = 5_000_000
"""Of all layers together as they stand in the page, which is to stay below 10 MB."""


@dataclass(frozen=True)
class Layers:
    """One reconstructor on one slice: its images as data URIs, the same twice for the truth."""

    label: str
    clean: str
    attacked: str
    note: str


@dataclass(frozen=True)
class Sheet:
    """One slice in the light box; shrunk: how many pixels of it became one, along a side."""

    title: str
    eps: str
    layers: tuple[Layers, ...]
    shrunk: int

    @property
    def size(self) -> int:
        return sum(len(uri) for layer in self.layers for uri in {layer.clean, layer.attacked})


def sheets(shown: Sequence[Shown]) -> list[Sheet]:
    """As many slices as fit; the first always, shrunk where it must be. Pictures have no windows, and no light box."""
    found: list[Sheet] = []
    for one in (each for each in shown if each.scale.in_hu):
        sheet = _sheet(one, 1 if not found else found[0].shrunk)
        while not found and sheet.size > MOST_BYTES:
            sheet = _sheet(one, 2 * sheet.shrunk)
        if found and sum(each.size for each in found) + sheet.size > MOST_BYTES:
            break
        found.append(sheet)
    return found


def encoded(image: Pixels, shrunk: int = 1) -> str:
    """A data URI: the image, x = 1 + HU/1000, in each of `WINDOWS` as red, green and blue."""
    rows, columns = (shrunk * (side // shrunk) for side in image.shape)
    blocks = image[:rows, :columns].reshape(rows // shrunk, shrunk, columns // shrunk, shrunk)
    hu = hu_from_relative(blocks.mean((1, 3)))
    written = io.BytesIO()
    pixels = np.stack([_grey(hu, window) for window in WINDOWS], axis=-1)
    Image.fromarray(pixels).save(written, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def _grey(hu: Pixels, window: Window) -> NDArray[np.uint8]:
    share = np.clip((hu - window.low) / (window.high - window.low), 0, 1)
    return np.rint(255 * share).astype(np.uint8)


def _sheet(shown: Shown, shrunk: int) -> Sheet:
    examples, index = shown.examples(0)
    truth = examples.truth[index]
    same = encoded(truth, shrunk)
    first = shown.members[0][0].label
    layers = [
        Layers("truth", same, same, ""),
        _layers(
            f"FBP, δ made for {first}", truth, examples.fbp_clean[index], examples.fbp_attacked[index], shrunk
        ),
    ]
    for member, (run, _, _) in enumerate(shown.members):
        own, place = shown.examples(member)
        layers.append(_layers(run.label, truth, own.f_clean[place], own.f_attacked[place], shrunk))
    return Sheet(shown.title, shown.members[0][0].result.sized(examples.eps), tuple(layers), shrunk)


def _layers(label: str, truth: Pixels, clean: Pixels, attacked: Pixels, shrunk: int) -> Layers:
    before, after = (decibel(psnr_db(image, truth)) for image in (clean, attacked))
    return Layers(label, encoded(clean, shrunk), encoded(attacked, shrunk), f"PSNR {before} → {after} dB")
