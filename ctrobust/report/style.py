"""How figures look and how they become small PNGs: one place for colours, fonts and files."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

DPI = 110
# The controls: nothing was learned, so no colour.
GREYS = ("#6e6e6e", "#a0a0a0", "#3d3d3d", "#8c7b66")
ALARM = "#b00020"

# Okabe and Ito's palette without yellow and black, which vanish on white or into the text; then two of Tol's.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">", "*", "d")

# Marks our own files, so that no one else's is ever overwritten.
SOFTWARE = "ctrobust report"


@dataclass(frozen=True)
class Picture:
    """A figure ready for the page: stem of its file, PNG bytes, size on the page in pixels, texts."""

    name: str
    png: bytes
    width: int
    height: int
    alt: str
    caption: str


def colour(index: int) -> str:
    """The colour of the index-th method of a page."""
    return COLOURS[index % len(COLOURS)]


def grey(index: int) -> str:
    """The colour of the index-th control."""
    return GREYS[index % len(GREYS)]


def marker(index: int) -> str:
    """The marker of the index-th run: told apart without colour, and beyond the last colour."""
    return MARKERS[index % len(MARKERS)]


def plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics between dollars, no underscore that hides it."""
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def legend_below(figure: Figure, handles: Sequence[Artist] | None = None, *, columns: int = 4) -> None:
    """A legend under the panels, in fewer columns where their labels are too long for these."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for count in range(columns, 0, -1):
        given = {} if handles is None else {"handles": handles}
        legend = figure.legend(**given, loc="outside lower center", ncols=count)
        if count == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            return
        legend.remove()


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own defaults with ours on top, whatever the user's settings; put back afterwards."""
    ours: dict[Any, Any] = {
        "font.size": 9.5,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "figure.facecolor": "white",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ours)
        yield


def picture(name: str, figure: Figure, alt: str, caption: str, *, colours: str | None = None) -> Picture:
    """Render `figure`: line drawings at twice the density they are shown at.

    A figure of images names its diverging colour map in `colours` and is kept in greys and that map alone.
    Either way 256 colours make a third of the size.
    """
    density = 2 if colours is None else 1
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=density * DPI, pil_kwargs={"compress_level": 1})
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", SOFTWARE)
    kept = io.BytesIO()
    with Image.open(drawn) as full:
        image = full.convert("RGB")
    image = image.quantize(256, dither=Image.Dither.NONE) if colours is None else _indexed(image, colours)
    image.save(kept, format="PNG", optimize=True, pnginfo=mark)
    return Picture(name, kept.getvalue(), image.width // density, image.height // density, alt, caption)


def _indexed(image: Image.Image, colours: str) -> Image.Image:
    """Every pixel as the nearest of 128 greys and 128 steps of a colour map.

    A palette chosen from the picture itself tints the greys; Pillow's own mapping onto a given one turns
    white into nearly white.
    """
    steps = np.linspace(0, 1, 128)
    palette = np.rint(
        [255 * colour for name in ("gray", colours) for colour in matplotlib.colormaps[name](steps)[:, :3]]
    ).astype(np.int32)
    pixels = np.asarray(image, dtype=np.int32)
    codes, place = np.unique(pixels @ (65536, 256, 1), return_inverse=True)
    used = np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=1)
    distances = (used**2).sum(1)[:, None] + (palette**2).sum(1) - 2 * used @ palette.T
    nearest = distances.argmin(axis=1).astype(np.uint8)
    indexed = Image.fromarray(nearest[place].reshape(pixels.shape[:2]))
    indexed.putpalette(palette.astype(np.uint8).tobytes())
    return indexed


def slug(parts: Sequence[str]) -> str:
    """A file name of lower-case letters, digits and dashes."""
    text = "-".join(parts).lower()
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
    return "-".join(piece for piece in kept.split("-") if piece)[:60]
