"""The page: whole, self-contained, safe to pass on."""

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ctrobust.core.errors import UserError
from ctrobust.report import write_report
from ctrobust.report.style import legend_below


class Links(HTMLParser):
    """Every reference a browser might follow, and every text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory, write_run) -> Path:
    folder = tmp_path_factory.mktemp("both")
    for method in ("minmax", "erm"):
        write_run(folder / "runs" / method, method)
    return write_report([folder / "runs"], folder / "out")


def test_nothing_is_fetched_from_elsewhere(page):
    html = page.read_text(encoding="utf-8")
    found = Links(html)
    assert found.references
    assert all(reference.startswith(("data:", "#")) for reference in found.references)
    # In the style sheet url(#…) names a filter of the page itself.
    assert not re.search(r"https?:|file:|@import|url\((?!#)|fetch|XMLHttp|import\(", html)


def test_the_one_script_is_the_one_that_may_run(page):
    html = page.read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert Links(html).tags.count("script") == 1
    assert html.startswith("<!DOCTYPE html>")


def test_every_number_of_every_run_is_there(page):
    text = Links(page.read_text(encoding="utf-8")).text
    for number in ("19.6", "34.0", "83.0", "369", "1 491", "18.8", "28.0", "45.0", "115", "795", "405"):
        assert number in text
    for number in (
        "29.2",
        "29.4",
        "26.6",
        "0.871",
        "0.31",
        "42.0",
        "33.0",
        "5a" * 32,
        "c3" * 32,
        "3afc81a",
        "sigma 1.5",
    ):
        assert number in text


def test_erm_comes_first_and_the_finding_is_stated(page):
    text = Links(page.read_text(encoding="utf-8")).text
    assert "Robustness of CT reconstruction: erm and minmax" in text
    assert "raises the squared error of erm 19-fold, of minmax 6.1-fold and of FBP 11-fold" in text
    assert "minmax’s worst-case error is 0.31 × erm’s, at a clean PSNR 0.2 dB higher" in text
    assert "not for clinical use" in text.lower()
    assert "Read this before comparing" not in text
    assert "of the noise" not in text


def test_every_figure_is_a_png_with_words(page):
    every = Links(page.read_text(encoding="utf-8")).images
    images = [image for image in every if "layer" not in (image.get("class") or "")]
    files = sorted((page.parent / "figures").iterdir())
    assert len(images) == len(files) == 1 + 2 * 2 + 2
    assert all(len(image["alt"] or "") > 40 for image in images)
    for file in files:
        with Image.open(file) as image:
            assert image.format == "PNG"
    assert page.stat().st_size < 3e6


def test_paths_of_the_training_machine_stay_there(page):
    html = page.read_text(encoding="utf-8")
    for setting in ("store: store.h5", "transfer_from: surrogate", "atlas: atlas.h5"):
        assert setting in html
    assert not [
        file.name for file in page.parent.rglob("*") if file.is_file() and b"jane" in file.read_bytes()
    ]


def test_a_failed_check_is_marked_in_table_box_and_curve(make_run, tmp_path):
    def fail(result, recipe):
        result["attack"]["checks"]["doubled_steps"].update(ok=False, value=0.061)
        result["attack"]["checks"]["exact_linear"].update(value=None)

    html = write_report([make_run("erm", fail, slices=1)], tmp_path / "out").read_text(encoding="utf-8")
    text = Links(html).text
    assert "✗ failed" in text
    assert "attack check failed: doubled steps" in text
    assert "the attack failed its check “doubled steps”" in text


def test_nasty_names_are_shown_and_not_obeyed(make_run, tmp_path):
    nasty = '_<script>alert("x")</script> $\\frac{1$ {{ 7*7 }}'

    def rename(result, recipe):
        result["method"] = recipe["method"] = nasty

    folder = make_run("minmax", rename, name="run", slices=1, arrays={"patient": ["<i>P</i>"]})
    found = Links(write_report([folder], tmp_path / "out").read_text(encoding="utf-8"))
    assert found.tags.count("script") == 1
    assert "i" not in found.tags
    assert nasty in found.text
    assert "patient <i>P</i>" in found.text


def test_a_second_report_replaces_the_first_and_nothing_else(make_run, tmp_path):
    erm = make_run("erm", slices=1)
    write_report([erm], erm)
    (erm / "figures" / "mine.png").write_bytes(b"mine")
    (erm / "figures" / "training-erm.png").rename(erm / "figures" / "training-gone.png")
    before = (erm / "report.html").read_bytes()
    write_report([erm], erm)
    assert (erm / "report.html").read_bytes() == before
    assert (erm / "figures" / "mine.png").read_bytes() == b"mine"
    assert not (erm / "figures" / "training-gone.png").exists()
    assert not list(erm.rglob("*.part"))


@pytest.mark.parametrize("foreign", ["report.html", "figures", "."])
def test_what_is_not_ours_is_not_overwritten(make_run, tmp_path, foreign):
    out = tmp_path / "out"
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).write_text("mine")
    with pytest.raises(UserError, match="--out"):
        write_report([make_run("erm")], out)
    assert (out / foreign).read_text() == "mine"


def test_the_command_prints_the_path_and_never_loads_torch(make_run, tmp_path):
    code = (
        "import sys; from ctrobust.cli.main import main; status = main(sys.argv[1:]);"
        "assert not {'torch', 'astra', 'matplotlib.pyplot', 'scipy', 'h5py'} & set(sys.modules);"
        "sys.exit(status)"
    )
    run, out = make_run("jitter", slices=1), tmp_path / "out"
    command = [sys.executable, "-c", code, "report", str(run), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{out / 'report.html'}\n"), done.stderr


@pytest.mark.parametrize(
    ("label", "columns"), [("erm", 3), ("minmax (window hamming), 3 runs", 2), ("m" * 99, 1)]
)
def test_a_legend_has_the_columns_that_its_figure_is_wide_enough_for(label, columns):
    figure = Figure(figsize=(7.4, 4))
    axes = figure.subplots()
    for _ in range(5):
        axes.plot([0, 1], label=label)
    legend_below(figure, columns=3)
    (legend,) = figure.legends
    assert legend._ncols == columns
