"""The page: findings, figures and tables put into one HTML file that needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from itertools import count
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ctrobust import __version__
from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.parcel import unpacked
from ctrobust.report import examined, findings, further, tables
from ctrobust.report.compare import everyone, warnings
from ctrobust.report.comparisons import comparisons, comparisons_note
from ctrobust.report.curves import draw_curves
from ctrobust.report.embedding import data_uri, embedded
from ctrobust.report.failures import Failure, failures, failures_note
from ctrobust.report.numbers import decibel, error, times
from ctrobust.report.paper import FIRST, paper_tables
from ctrobust.report.replicates import pool
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run, find_runs, read_runs
from ctrobust.report.sinograms import draw_sinograms
from ctrobust.report.slices import draw_slice, shown_slices
from ctrobust.report.style import SOFTWARE, Picture, drawing
from ctrobust.report.trade_off import draw_trade_off, spread_rows
from ctrobust.report.training import draw_found, draw_training
from ctrobust.report.viewer import WINDOWS, sheets

PAGE, FIGURES, TABLES = "report.html", "figures", "results"
GENERATOR = f'<meta name="generator" content="{SOFTWARE}'


@dataclass(frozen=True)
class Card:
    """The number a reader takes home for one reconstructor."""

    label: str
    colour: str
    fold: str
    errors: tuple[str, str] | None
    psnr_db: str
    failed: bool


@dataclass(frozen=True)
class Figures:
    """The pictures of a page, in the order of its sections."""

    trade_off: Picture | None
    curves: Picture
    slices: tuple[tuple[Picture, Picture], ...]
    failures: tuple[Failure, ...]
    training: tuple[Picture, ...]
    texture: Picture | None

    @property
    def all(self) -> tuple[Picture, ...]:
        """What a page can least do without first; of the failures the worst of every method before the next."""
        first = () if self.trade_off is None else (self.trade_off,)
        pairs = (one for pair in self.slices for one in pair)
        ranked = sorted(self.failures, key=lambda failure: failure.rank)
        failed = (failure.picture for failure in ranked if failure.picture is not None)
        texture = () if self.texture is None else (self.texture,)
        return *first, self.curves, *pairs, *texture, *self.training, *failed


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write report.html, figures/*.png and results.md, .tex and .csv into `out`; return the page's path.

    A folder that holds several runs stands for all of them, what was handed over may be a .zip; runs that differ in
    seed and split alone are shown by their mean. Only files of an earlier report are overwritten. Raises UserError on
    a missing or malformed input and where `out` is or holds what is not ours.
    """
    with ExitStack() as opened:
        folders, left_out = find_runs([opened.enter_context(unpacked(path)) for path in runs])
        found = pool(read_runs(folders))
    _refuse_foreign(out)
    with drawing():
        figures = _draw(found)
    pasted = paper_tables(found)
    html = _render(found, left_out, figures, pasted)
    _write(out, html, figures, pasted)
    return out / PAGE


def _draw(runs: Sequence[Run]) -> Figures:
    size = findings.headline_size(runs)
    # Two runs alone are told apart by the cards.
    worth = len(runs) > 2 or any(run.singles for run in runs)
    return Figures(
        trade_off=draw_trade_off(runs, size) if worth and size is not None else None,
        curves=draw_curves(runs),
        slices=tuple((draw_slice(shown), draw_sinograms(shown)) for shown in shown_slices(runs)),
        failures=tuple(failures(runs, size)),
        training=tuple(
            drawn for drawn in (draw_found(runs), *(draw_training(run, runs) for run in runs)) if drawn
        ),
        texture=examined.draw_texture(runs),
    )


def _render(runs: Sequence[Run], left_out: Sequence[str], figures: Figures, pasted: Mapping[str, str]) -> str:
    package = resources.files("ctrobust.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"data_uri": data_uri, "sha256": _sha256}
    template = environment.from_string((package / "page.html").read_text(encoding="utf-8"))
    size = findings.headline_size(runs)
    compared = comparisons(runs, size)
    told = dict(
        # Ours, not the user's: the only text that goes in unescaped.
        css=Markup((package / "page.css").read_text(encoding="utf-8")),
        generator=f"{SOFTWARE} {__version__}",
        version=__version__,
        title=findings.title(runs),
        in_hu=runs[0].result.in_hu,
        rmse_head=runs[0].result.rmse_head,
        done=findings.what_was_done(runs),
        finding=findings.key_finding(runs),
        remarks=findings.remarks(runs),
        warnings=warnings(runs, left_out),
        cards=[] if size is None else _cards(runs, size),
        headline=None if size is None else runs[0].result.written(size),
        symbol=runs[0].result.symbol,
        written=runs[0].result.written,
        figures=figures,
        intervals=tables.interval_note(runs),
        spread=spread_rows(runs),
        sizes=tables.sizes_of(runs),
        blocks=tables.result_blocks(runs),
        comparisons=compared,
        comparisons_note=comparisons_note(compared) if compared else "",
        pasted=pasted,
        adversaries=further.adversary_rows(runs),
        verdicts=further.verdicts(runs),
        anatomy=further.anatomy_rows(runs),
        examined=examined.tables(runs),
        not_made=examined.not_made(runs),
        checks=tables.check_rows(runs),
        sheets=sheets(shown_slices(runs)),
        windows=WINDOWS,
        failures_note=""
        if size is None or not figures.failures
        else failures_note(runs, figures.failures, size),
        settings=tables.setting_groups(runs),
        runs=runs,
    )

    def page(shown: Set[Picture]) -> str:
        # Figures and tables are numbered as they come.
        numbers = {name: count(1).__next__ for name in ("figure_number", "table_number")}
        return template.render(told, embedded=shown, **numbers)

    return page(embedded(figures.all, len(page(frozenset()).encode())))


def _cards(runs: Sequence[Run], size: float) -> list[Card]:
    return [_card(label, hue, measured, size) for label, hue, measured in everyone(runs)]


def _card(label: str, hue: str, measured: Measured, size: float) -> Card:
    fold, clean, attacked = measured.fold(size), measured.at(0.0), measured.at(size)
    return Card(
        label=label,
        colour=hue,
        fold="–" if fold is None else f"{fold:.1f}" if fold < 10 else times(fold),
        errors=(error(clean.rho), error(attacked.rho)) if clean and attacked else None,
        psnr_db=decibel(measured.clean.psnr_db),
        failed=bool(measured.failed),
    )


def _sha256(text: str) -> str:
    """As a content security policy names the one script that may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _write(out: Path, html: str, figures: Figures, pasted: Mapping[str, str]) -> None:
    """Figures first, the page last: a page that is there has its figures beside it."""
    try:
        names = {f"{picture.name}.png" for picture in figures.all}
        for picture in figures.all:
            with replacing(out / FIGURES / f"{picture.name}.png") as part:
                part.write_bytes(picture.png)
        for kind, text in pasted.items():
            with replacing(out / f"{TABLES}.{kind}") as part:
                part.write_text(text, encoding="utf-8")
        with replacing(out / PAGE) as part:
            part.write_text(html, encoding="utf-8")
        # A figure of an earlier report that this one does not have would be taken for its own.
        for old in (out / FIGURES).glob("*.png"):
            if old.name not in names and _is_ours(old):
                old.unlink()
    except OSError as mistake:
        raise UserError(f"{out}: cannot be written ({mistake.strerror}); choose another --out") from None


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; give a folder as --out")
    for file in (out / PAGE, out / FIGURES, *(out / f"{TABLES}.{kind}" for kind in FIRST)):
        if file.exists() and not (file.is_dir() if file.name == FIGURES else _is_ours(file)):
            raise UserError(f"{file}: not written by `ctrobust report`; move it or choose another --out")


def _is_ours(file: Path) -> bool:
    try:
        if file.suffix[1:] in FIRST:
            with file.open(encoding="utf-8", errors="replace") as stream:
                return stream.read(200).startswith(FIRST[file.suffix[1:]])
        if file.suffix == ".html":
            with file.open(encoding="utf-8", errors="replace") as stream:
                return GENERATOR in stream.read(4096)
        with Image.open(file) as image:
            return image.info.get("Software") == SOFTWARE
    except OSError:
        return False
