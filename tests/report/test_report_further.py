"""What the page shows beyond curves: comparisons, adversaries, competence, tables to paste, light box, failures."""

import base64
import csv
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from told_in_full import in_full

from ctrobust.core.errors import UserError
from ctrobust.report import findings, write_report
from ctrobust.report.compare import all_sizes, everyone, references, warnings
from ctrobust.report.comparisons import comparisons, comparisons_note
from ctrobust.report.curves import draw_curves, met_in_training
from ctrobust.report.embedding import data_uri, embedded
from ctrobust.report.failures import failures
from ctrobust.report.further import adversary_rows, anatomy_rows, verdicts
from ctrobust.report.paper import escaped, paper_tables
from ctrobust.report.replicates import pool
from ctrobust.report.runs import find_runs, read_runs
from ctrobust.report.slices import shown_slices
from ctrobust.report.style import Picture
from ctrobust.report.training import draw_found
from ctrobust.report.viewer import MOST_BYTES, WINDOWS, encoded, sheets


def read(*given):
    return read_runs(find_runs(given)[0])


@pytest.fixture
def full(make_run):
    return read(make_run("erm", in_full, slices=1), make_run("minmax", in_full, slices=1))


def few_patients(result, recipe):
    for part in (result, *result["controls"].values()):
        part["slices"]["patient"] = [f"P{i % 4}" for i in range(46)]


def doubtful(result, recipe):
    result["attack"]["checks"]["doubled_steps"].update(ok=False, value=0.061)


def test_everything_is_set_against_erm_clean_and_at_the_headline(full):
    rows = comparisons(full, 0.02)
    assert [(row.label, row.eps) for row in rows] == [
        (label, eps) for eps in (0.0, 0.02) for label in ("minmax", "FBP", "TV")
    ]
    minmax = rows[3].found
    assert minmax.difference == pytest.approx(115 - 369)
    assert minmax.ratio == pytest.approx(115 / 369, rel=0.05)
    assert (minmax.slices, minmax.patients) == (46, 8)
    assert rows[3].verdict == "smaller error"
    assert "all 6 comparisons" in comparisons_note(rows)
    assert all(row.found.p_holm >= row.found.p for row in rows)


def test_a_failed_check_decides_nothing(make_run):
    rows = comparisons(read(make_run("erm", in_full), make_run("minmax", _both(in_full, doubtful))), 0.02)
    told = {(row.label, row.eps): row.verdict for row in rows}
    assert told["minmax", 0.02] == "nothing follows: an attack check failed"
    # Nothing was attacked for the clean errors.
    assert "attack" not in told["minmax", 0.0]
    assert "attack" not in told["FBP", 0.02]


def test_few_patients_have_a_reason(make_run):
    runs = read(*(make_run(method, _both(in_full, few_patients)) for method in ("erm", "minmax")))
    rows = comparisons(runs, 0.02)
    assert {row.verdict for row in rows} == {"no interval: 4 patients; an interval needs at least 6"}
    assert "No interval is given: 4 patients" in comparisons_note(rows)


def test_other_data_is_not_compared(make_run):
    def elsewhere(result, recipe):
        result["data"]["store_sha256"] = "00" * 32

    runs = read(make_run("erm", in_full), make_run("minmax", _both(in_full, elsewhere)))
    assert {row.label for row in comparisons(runs, 0.02)} == {"FBP (data of erm)", "TV (data of erm)"}


def test_another_window_is_another_f_on_the_same_scan(make_run):
    """FBP by each window is a control of its own, the others are shared; and f's are set against each other."""

    def softer(result, recipe):
        recipe["scan"]["window"] = "hamming"
        for row in result["reference"]["curve"]:
            row["rho"] *= 0.5

    runs = read(make_run("erm", in_full), make_run("minmax", _both(in_full, softer)))
    assert [name for name, _ in references(runs)] == ["FBP, ram-lak", "TV", "FBP, hamming"]
    assert "minmax" in {row.label for row in comparisons(runs, 0.02)}
    assert not any("different" in warning for warning in warnings(runs, []))


def test_without_errors_a_slice_there_is_no_comparison(make_run):
    runs = read(make_run("erm"), make_run("minmax", in_full))
    assert comparisons(runs, 0.02) == []


def test_the_finding_speaks_of_the_pairs_and_not_of_overlaps(full):
    said = findings.remarks(full)
    assert any("less erm’s is −254" in line and "this tells them apart" in line for line in said)
    assert not any("overlap" in line for line in said)


def test_seeds_are_averaged_slice_by_slice_and_folds_joined(make_run):
    def seed(number):
        def change(result, recipe):
            recipe["seed"] = number
            for errors in result["slices"]["worst"].values():
                errors[:] = [(1 + number) * error for error in errors]

        return _both(in_full, change)

    singles = read(*(make_run("erm", seed(number), name=str(number)) for number in range(3)))
    (mean,) = pool(singles)
    assert mean.result.learned.slices.at(0.02) == pytest.approx(2 * singles[0].result.learned.slices.at(0.02))
    assert [control.method for control in mean.result.controls] == ["fbp", "tv"]

    def fold(number):
        def change(result, recipe):
            recipe["seed"] = number
            result["slices"]["index"] = [100 * number + i for i in range(46)]

        return _both(in_full, change)

    (joined,) = pool(read(*(make_run("pgd", fold(number), name=f"f{number}") for number in range(3))))
    assert len(joined.result.learned.slices.index) == 3 * 46


def test_controls_are_on_the_page_once_and_in_grey(full):
    assert [name for name, _ in references(full)] == ["FBP", "TV"]
    hues = [hue for _, hue, _ in everyone(full)]
    assert len(set(hues)) == 4
    assert "TV from" in draw_curves(full).alt


def test_fbp_with_a_tuned_window_is_another_control(make_run):
    def other_window(result, recipe):
        result["reference"]["curve"][0]["rho"] *= 1.1

    assert [name for name, _ in references(read(make_run("erm", _both(in_full, other_window))))] == [
        "FBP",
        "FBP, tuned",
        "TV",
    ]


def test_adversaries_are_set_against_the_curve(full):
    rows = adversary_rows(full[:1])
    assert [(row.name, row.stronger) for row in rows] == [
        ("universal", False),
        ("momentum", True),
        ("jitter", False),
    ]
    assert rows[0].share == "47\u202f%"
    assert (rows[2].eps, rows[2].share, rows[2].size) == ("–", "–", "1.3\u202f%")


def test_the_verdicts(make_run):
    def unchecked(result, recipe):
        del result["attack"]["checks"]

    def called_weak(result, recipe):
        result["attack"]["competent"] = False

    runs = read(
        make_run("erm"),
        make_run("minmax", doubtful),
        make_run("pgd", unchecked),
        make_run("jitter", called_weak),
    )
    told = {verdict.label: verdict for verdict in verdicts(runs)}
    assert [told[name].kind for name in ("erm", "minmax", "pgd", "jitter", "FBP")] == [
        "passed",
        "failed",
        "unchecked",
        "failed",
        "unchecked",
    ]
    assert "all 2 checks" in told["erm"].sentence
    assert "“doubled steps” (found 0.061, limit 0.02)" in told["minmax"].sentence
    assert "dashed" in told["minmax"].sentence
    assert any("jitter: the attack failed its check “competent”" in line for line in warnings(runs, []))


def test_a_curve_in_doubt_is_drawn_otherwise(make_run):
    one, other = read(make_run("erm")), read(make_run("minmax"), make_run("pgd", doubtful))
    assert "Dashed" not in draw_curves(one).caption
    assert "Dashed with hollow markers" in draw_curves(other).caption


def test_a_size_met_in_training_beyond_the_curves_does_not_stretch_them(make_run):
    def noisy(result, recipe):
        recipe["threat"] = {"eps": 0.08}

    runs = read(make_run("minmax"), make_run("jitter", noisy))
    assert runs[1].trained_eps == 0.08 > max(all_sizes(runs))
    assert met_in_training(runs) == {runs[0].trained_eps} - {None}


def test_the_tables_hold_the_figures(full):
    tables = paper_tables(full)
    rows = list(csv.DictReader(io.StringIO(tables["csv"])))
    assert len(rows) == 4 * 5
    one = next(row for row in rows if row["reconstructor"] == "minmax" and float(row["eps"]) == 0.02)
    assert (float(one["rho"]), float(one["rho_ci95_low"]), one["runs"]) == (115.0, 0.8 * 115, "1")
    assert one["attack_checks"] == "passed"
    assert "115 [92.0, 150]" in tables["md"]
    assert len({line.count("|") for line in tables["md"].splitlines() if line.startswith("|")}) == 1
    body = [line for line in tables["tex"].splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") for line in body}) == 1
    assert tables["tex"].isascii()


def test_latex_escapes_what_it_must():
    assert escaped("a_b & 2\u202f% {#} \\x ~") == r"a\_b \& 2\,\% \{\#\} \textbackslash{}x \textasciitilde{}"


def test_a_failed_check_is_marked_in_the_tables(make_run):
    tables = paper_tables(read(make_run("minmax", doubtful)))
    assert "| minmax † |" in tables["md"]
    assert "†: a check of the attack failed" in tables["md"]
    assert "failed: doubled_steps" in tables["csv"]


def test_a_layer_holds_the_three_windows():
    hu = np.array([[-1350.0, -600.0, 40.0, 240.0, 400.0, 1300.0]])
    coded = encoded(1 + hu / 1000).removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))))[0]
    for channel, window in enumerate(WINDOWS):
        expected = 255 * np.clip((hu[0] - window.low) / (window.high - window.low), 0, 1)
        assert pixels[:, channel] == pytest.approx(expected, abs=0.51)
    assert [str(window).split(",")[1].split("HU")[0].strip() for window in WINDOWS] == [
        "W 1500 L −600",
        "W 400 L 40",
        "W 1800 L 400",
    ]


def test_the_light_box_stays_small(full, monkeypatch):
    assert [sheet.shrunk for sheet in sheets(shown_slices(full))] == [1]
    whole = sheets(shown_slices(full))[0]
    assert whole.size < MOST_BYTES
    monkeypatch.setattr("ctrobust.report.viewer.MOST_BYTES", whole.size // 3)
    (small,) = sheets(shown_slices(full))
    assert small.shrunk > 1
    assert small.size <= whole.size // 3


def test_the_worst_slices_are_the_worst(full):
    rows = failures(full, 0.02)
    worst = full[0].result.learned.slices.at(0.02)
    assert [row.label for row in rows] == ["erm", "minmax"]
    assert rows[0].slice_index == int(np.argmax(worst))
    assert (rows[0].rank, rows[0].judged) == (1, 46)
    assert rows[0].picture is None
    assert failures(full, 0.03) == []


def test_a_worst_slice_that_is_stored_is_shown(make_run):
    def first_is_worst(result, recipe):
        for errors in result["slices"]["worst"].values():
            errors[3] *= 100

    runs = read(make_run("erm", _both(in_full, first_is_worst), slices=1, arrays={"slice_index": [3]}))
    (row,) = failures(runs, 0.02)
    assert (row.slice_index, row.patient) == (3, "P3")
    assert "PSNR falls from" in row.picture.alt


def test_what_is_kept_for_being_the_worst_is_no_example(make_run, tmp_path):
    def second_is_worst(result, recipe):
        result["slices"]["worst"]["0.02"][3] *= 100

    kept = {"slice_index": [17, 3], "in_advance": [True, False]}
    runs = read(make_run("erm", _both(in_full, second_is_worst), arrays=kept))
    assert [shown.slice_index for shown in shown_slices(runs)] == [17]
    assert [(row.slice_index, row.picture is None) for row in failures(runs, 0.02)] == [(3, False)]


def test_of_folds_the_worst_slice_is_shown_by_the_fold_that_judged_it(make_run):
    def fold(number):
        def change(result, recipe):
            recipe["seed"] = number
            result["slices"]["index"] = [100 * number + place for place in range(46)]
            result["slices"]["worst"]["0.02"][3] *= 100 * (1 + number)

        return _both(in_full, change)

    folders = [
        make_run("erm", fold(number), name=f"fold-{number}", arrays={"slice_index": [5, 100 * number + 3]})
        for number in range(2)
    ]
    (row,) = failures(pool(read(*folders)), 0.02)
    assert row.slice_index == 103
    assert row.picture.caption.startswith("erm (fold-1) on slice 103")


def test_what_training_finds_is_drawn(make_run):
    (run,) = read(make_run("minmax"))
    assert draw_found([run]) is None
    lines = (run.folder / "history.csv").read_text().splitlines()
    rows = [
        f"{line},,,," if i % 50 else f"{line},{0.5 * i},{0.2 * i},{0.8 * i},{i}"
        for i, line in enumerate(lines)
    ]
    rows[0] = f"{lines[0]},found,found_1,found_5,found_20"
    (run.folder / "history.csv").write_text("\n".join(rows) + "\n")
    assert "minmax ends at 50%" in draw_found(read(run.folder)).alt


def test_anatomy_in_words(full):
    (label, rows), _ = anatomy_rows(full)
    assert label == "erm"
    assert rows[1] == ("lung", "below −500", "25\u202f%", "21.4", "85.6", "4.00", "−1.5", "12.0", "30\u202f%")
    assert rows[2][1] == "240 and above"


def test_a_size_of_another_budget_is_no_share_of_y(make_run):
    def whitened(result, recipe):
        result["attack"] |= {"budget": "whitened", "relative": False, "ball": "L2 in standard deviations"}
        for row in result["curve"]:
            row["eps"] *= 100
            row["noise_share"] = row["eps"] / 80

    (run,) = read(make_run("erm", whitened, slices=1))
    html = write_report([run.folder], run.folder / "out").read_text()
    assert "ε = 2" in html
    assert "200" + "\u202f%" not in html
    assert "ε (L2 in standard deviations)" in html
    assert "larger than the ε" not in html
    assert '<th scope="col">ε = 2<small>2.5\u202f% of the noise</small></th>' in html
    assert "k/√n" in html


def test_what_another_budget_measures_fits_under_its_panel(make_run, monkeypatch):
    def whitened(result, recipe):
        ball = "L2 in standard deviations of the photon noise; eps is d' of an ideal observer"
        result["attack"] |= {"budget": "whitened", "relative": False, "ball": ball}

    monkeypatch.setattr("ctrobust.report.curves.picture", lambda name, figure, *texts: figure)
    figure = draw_curves(read(make_run("erm", whitened, slices=1)))
    figure.draw_without_rendering()
    left, right = (axes.xaxis.label.get_window_extent() for axes in figure.axes)
    assert figure.bbox.x0 <= left.x0 < left.x1 < right.x0 < right.x1 <= figure.bbox.x1


def test_the_page_with_everything(make_run, tmp_path):
    folders = [make_run(method, in_full, slices=1) for method in ("erm", "minmax")]
    page = write_report(folders, tmp_path / "out")
    html = page.read_text(encoding="utf-8")
    figures = [int(number) for number in re.findall(r"<b>Figure (\d+)\.", html)]
    tables = [int(number) for number in re.findall(r"<b>Table (\d+)\.", html)]
    assert figures == list(range(1, len(figures) + 1))
    assert tables == list(range(1, len(tables) + 1)) == [1, 2, 3, 4, 5]
    for anchor in re.findall(r'href="#([\w-]+)"', html):
        assert f'id="{anchor}"' in html
    for kind in ("md", "tex", "csv"):
        assert (tmp_path / "out" / f"results.{kind}").stat().st_size > 200
    assert page.stat().st_size < 3e6


def test_a_page_stays_small_enough_to_be_passed_on(make_run, tmp_path, monkeypatch):
    """Failures give way first; what is left out is described, and lies beside the page."""

    def worst(result, recipe):
        result["slices"]["worst"]["0.02"][3] *= 100

    kept = {"slice_index": [17, 3], "in_advance": [True, False]}
    run = make_run("erm", _both(in_full, worst), arrays=kept)
    whole = write_report([run], tmp_path / "whole")
    monkeypatch.setattr("ctrobust.report.embedding.MOST_BYTES", whole.stat().st_size - 1)
    page = write_report([run], tmp_path / "small")
    assert page.stat().st_size < whole.stat().st_size
    before, html = whole.read_text(), page.read_text()
    assert "left out" not in before
    assert re.findall(r"left out, to keep .*? as figures/([\w-]+)\.png", html) == ["failure-3-erm"]
    assert (tmp_path / "small" / "figures" / "failure-3-erm.png").is_file()
    assert html.count("<b>Figure ") == before.count("<b>Figure ")


@given(st.lists(st.integers(1, 100), max_size=20), st.integers(0, 2000))
def test_pictures_stand_in_the_page_as_far_as_there_is_room(sizes, without):
    pictures = [Picture(f"{number}", bytes(size), 1, 1, "", "") for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ctrobust.report.embedding.MOST_BYTES", 1500)
        found = embedded(pictures, without)
    taken = without + sum(len(data_uri(picture)) for picture in found)
    assert taken <= 1500 or not found
    # The first that is left out would not have fitted after those before it.
    for number, picture in enumerate(pictures):
        if picture not in found:
            before = sum(len(data_uri(other)) for other in pictures[:number] if other in found)
            assert without + before + len(data_uri(picture)) > 1500


def test_a_table_of_someone_else_is_not_overwritten(make_run, tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(UserError, match="--out"):
        write_report([make_run("erm", slices=1)], tmp_path)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda result: result["slices"]["index"].pop(), "slices.patient: 46 entries, index has 45"),
        (lambda result: result["slices"]["worst"].update({"much": []}), "'much' is not a size"),
        (lambda result: result["slices"]["worst"]["0.02"].__setitem__(3, None), "slices.worst.0.02[3]"),
        (lambda result: result.update(controls=[]), "controls: not a mapping"),
        (lambda result: result["controls"]["tv"].update(curve=[]), "controls.tv.curve"),
        (lambda result: result.update(adversaries={}), "adversaries: not a list"),
        (lambda result: result["adversaries"][1].pop("rho"), "adversaries[1].rho: missing"),
        (lambda result: result["anatomy"][0].update(pixels="few"), "anatomy[0].pixels"),
    ],
)
def test_a_wrong_part_is_named(make_run, spoil, named):
    folder = make_run("erm", in_full)
    content = json.loads((folder / "result.json").read_text())
    spoil(content)
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=re.escape(named)):
        read(folder)


@pytest.mark.parametrize("part", ["slices", "controls", "adversaries", "anatomy", "attack.competent"])
def test_each_part_may_be_missing(make_run, tmp_path, part):
    def without(result, recipe):
        *outer, last = part.split(".")
        for key in outer:
            result = result[key]
        del result[last]

    (run,) = read(make_run("minmax", _both(in_full, without), slices=0))
    assert run.result.learned.at(0.02).rho == 115
    assert write_report([run.folder], tmp_path / "out").exists()


def _both(*changes):
    def change(result, recipe):
        for one in changes:
            one(result, recipe)

    return change
