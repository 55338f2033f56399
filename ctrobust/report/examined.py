"""What `evaluate.examinations` found, as tables and a figure: instability tests, texture and sharpness, bounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ctrobust.core.errors import UserError
from ctrobust.report.compare import hues
from ctrobust.report.numbers import MINUS, decibel, error, listing, percent
from ctrobust.report.runs import Run
from ctrobust.report.style import Picture, legend_below, picture, plain

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of the section; rows: the first two cells are words."""

    name: str
    caption: str
    head: Cells
    rows: tuple[Cells, ...]


def tables(runs: Sequence[Run]) -> list[Table]:
    """Those that some run has. Raises UserError where a result file has one in another form."""
    found = []
    for name, (caption, head, read) in TABLES.items():
        rows = tuple(row for run in runs for row in _rows(run, name, read))
        if rows:
            found.append(Table(name, caption, head, rows))
    return found


def not_made(runs: Sequence[Run]) -> list[str]:
    """A sentence for each examination that was asked for and could not be made."""
    return [
        f"{run.label}: {name} was not made, {found['not_made']}."
        for run in runs
        for name, found in run.result.examinations.items()
        if "not_made" in found
    ]


def draw_texture(runs: Sequence[Run]) -> Picture | None:
    """Noise power and edge response of every run that has them; None where none has."""
    shown = [
        (run, hue, found)
        for run, hue in zip(runs, hues(runs), strict=True)
        if (found := run.result.examinations.get("texture")) and "not_made" not in found
    ]
    if not shown:
        return None
    figure = Figure(figsize=(9.35, 3.6), layout="constrained")
    power, sharpness = figure.subplots(1, 2)
    for run, hue, found in shown:
        try:
            noise, edge, attacked = found["noise"], found["edge"], found["edge_attacked"]
            power.plot(noise["frequency_per_mm"], noise["power_hu2_mm2"], color=hue, label=plain(run.label))
            sharpness.plot(edge["frequency_per_mm"], edge["mtf"], color=hue)
            sharpness.plot(attacked["frequency_per_mm"], attacked["mtf"], color=hue, linestyle=(0, (4, 2)))
        except (KeyError, TypeError, ValueError):
            raise _malformed(run, "texture") from None
    power.set(yscale="log", xlabel="spatial frequency, 1/mm", ylabel="HU² mm²")
    power.set_title("Noise power spectrum", loc="left")
    sharpness.set(xlabel="spatial frequency, 1/mm", ylim=(0, None))
    sharpness.set_title("Response to an edge, relative to frequency 0", loc="left")
    legend_below(figure)
    return picture("texture", figure, _alt(shown), _caption(shown[0][2]))


def _alt(shown: Sequence[tuple[Run, str, Mapping[str, Any]]]) -> str:
    parts = [
        f"{run.label} {_frequency(found['edge']['mtf50_per_mm'])} clean and "
        f"{_frequency(found['edge_attacked']['mtf50_per_mm'])} attacked"
        for run, _, found in shown
    ]
    return f"Noise power and edge response over frequency. The response falls to half at: {listing(parts)}."


def _caption(found: Mapping[str, Any]) -> str:
    disc = found["disc"]
    return (
        f"Left: noise power of reconstructions of one slice with {found['draws']} draws of the noise of "
        f"{found['photons']:,.0f} photons a ray, averaged over directions. Right: the edge of a disc of "
        f"{disc['diameter_mm']:.0f} mm and {disc['contrast_hu']:+.0f} HU put into the slices; dashed under the worst "
        "δ, which is the same with and without the disc. f is not linear: other slices, doses and contrasts have "
        "other curves."
    )


def _frequency(value: float | None) -> str:
    return "above Nyquist’s frequency" if value is None else f"{value:.3f}/mm"


def _rows(run: Run, name: str, read: Callable[[Mapping[str, Any]], Iterator[Cells]]) -> list[Cells]:
    found = run.result.examinations.get(name)
    if not found or "not_made" in found:
        return []
    try:
        return [(run.label, *cells) for cells in read(found)]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(run, name) from None


def _malformed(run: Run, name: str) -> UserError:
    return UserError(
        f"{run.folder / 'result.json'}: examinations.{name}: not as this version writes it; run "
        f"`ctrobust evaluate {run.folder}` again"
    )


def _tiny(found: Mapping[str, Any]) -> Iterator[Cells]:
    for side, words in (("image", "Antun et al., of the image"), ("measurement", "ours, of the measurement")):
        yield (
            words,
            percent(found["relative"]),
            error(found[f"change_{side}"]),
            error(found["error_clean"]),
            error(found[f"error_{side}"]),
        )


def _structures(found: Mapping[str, Any]) -> Iterator[Cells]:
    for name, row in found["structures"].items():
        contrasts = (_percent(row[key]) for key in ("crc", "crc_hidden", "crc_invented"))
        observers = (
            f"{row[key]:.1f}".replace("-", MINUS)
            for observer in ("npw", "cho")
            for key in (observer, f"{observer}_hidden", f"{observer}_invented")
        )
        yield (name, percent(row["eps"]), *contrasts, *observers)


def _views(found: Mapping[str, Any]) -> Iterator[Cells]:
    for row in found["rows"]:
        trained = " (as trained)" if row["trained"] else ""
        yield f"{row['views']}{trained}", error(row["squared_error"]), decibel(row["psnr_db"])


def _texture(found: Mapping[str, Any]) -> Iterator[Cells]:
    for words, edge in (("clean", found["edge"]), ("under the worst δ", found["edge_attacked"])):
        falls = (edge["mtf50_per_mm"], edge["mtf10_per_mm"])
        yield (
            words,
            _percent(edge["contrast"]),
            *("–" if value is None else f"{value:.3f}" for value in falls),
        )


def _bracket(found: Mapping[str, Any]) -> Iterator[Cells]:
    for row in found["rows"]:
        rho, lipschitz = (
            "–" if row[key] is None else f"{row[key]:.2e}" if row[key] > 1e6 else error(row[key])
            for key in ("rho", "lipschitz")
        )
        yield f"{row['kind']}, {row['side']}", rho, lipschitz, row["note"] or "–"


def _percent(share: float) -> str:
    return percent(round(share, 2)).replace("-", MINUS)


OBSERVED = tuple(
    f"{observer}, {case}" for observer in ("NPW d′", "CHO d′") for case in ("clean", "hidden", "invented")
)
TABLES: dict[str, tuple[str, Cells, Callable[[Mapping[str, Any]], Iterator[Cells]]]] = {
    "tiny": (
        "Tiny perturbations (Antun et al., PNAS 2020, test 1): their protocol, and ours at the size that came of it. "
        "Change: ‖f(y + δ) − f(y)‖; errors: Σ (x̂ − x)². Where f stretches little, theirs shrinks to nothing.",
        ("f", "protocol", "‖δ‖/‖y‖", "change", "error, clean", "attacked"),
        _tiny,
    ),
    "structures": (
        "Small structures put into the body (test 2): contrast recovered clean, where a δ hides it, and where a δ "
        "invents it in an image without. δ is half as large as what would take the structure out of the measurement "
        "itself. d′: how surely a matched filter (NPW) and a channelised Hotelling observer (CHO), both trained on "
        "clean noisy images, tell it from its absence; below 0 they are sure of the opposite.",
        ("f", "structure", "‖δ‖/‖y‖", "contrast, clean", "hidden", "invented", *OBSERVED),
        _structures,
    ),
    "views": (
        "Another number of views at test time (test 3), without noise: a sound f gains, or loses nothing, by more.",
        ("f", "views", "error Σ (x̂ − x)²", "PSNR, dB"),
        _views,
    ),
    "texture": (
        "Sharpness by the edge of a disc: the share of its contrast that is shown, and the frequencies at which the "
        "response falls to a half and a tenth (–: not below Nyquist’s).",
        ("f", "edge", "contrast", "MTF 50 %, 1/mm", "MTF 10 %, 1/mm"),
        _texture,
    ),
    "bracket": (
        "The worst case from below and above on the slices examined. An estimate is a first-order prediction and may "
        "err to either side; a bound that clamping the image would beat is called vacuous.",
        ("f", "kind, side", "Σ (x̂ − x)²", "Lipschitz", "remark"),
        _bracket,
    ),
}
