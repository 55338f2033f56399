"""What the page says in words: right whichever way the numbers fall, and silent where they allow no word."""

import numpy as np
import pytest

from ctrobust.report import findings, numbers
from ctrobust.report.compare import references, warnings
from ctrobust.report.runs import find_runs, read_runs
from ctrobust.report.scale import choose_window
from ctrobust.report.slices import psnr_db, shown_slices
from ctrobust.report.tables import result_blocks
from ctrobust.report.training import smoothed


def read(*given):
    return read_runs(find_runs(given)[0])


def scaled(factor):
    def change(result, recipe):
        for row in result["curve"]:
            row["rho"] *= factor
            row["rho_ci95"] = [factor * bound for bound in row["rho_ci95"]]

    return change


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1.0, "0.31 × erm’s"), (3.2, "about the same as erm’s"), (12.0, "3.74 × erm’s")],
)
def test_the_ratio_is_stated_whichever_way_it_falls(make_run, factor, said):
    runs = read(make_run("erm"), make_run("minmax", scaled(factor)))
    assert f"minmax’s worst-case error is {said}" in findings.key_finding(runs)


@pytest.mark.parametrize(
    ("psnr", "said"), [(29.21, "the same clean PSNR"), (28.0, "1.2 dB lower"), (31.0, "1.8 dB higher")]
)
def test_the_price_is_stated(make_run, psnr, said):
    runs = read(make_run("erm"), make_run("minmax", lambda result, _: result["clean"].update(psnr_db=psnr)))
    assert said in findings.key_finding(runs)


def test_a_run_that_breaks_beyond_its_ball_is_told(make_run):
    runs = read(make_run("erm"), make_run("pgd"))
    assert any(
        "pgd: at 4\u202f% its worst-case error is 20 × erm’s" in line for line in findings.remarks(runs)
    )


def test_phantoms_are_called_phantoms(make_run):
    runs = read(make_run("erm"), make_run("minmax", lambda _, recipe: recipe["data"].update(store=None)))
    assert "phantoms" not in findings.what_was_done(runs)
    assert "46 slices of 8 patients, all of them computer-generated" in findings.what_was_done(runs[1:])


def test_the_headline_is_the_size_met_in_training(make_run):
    runs = read(make_run("erm"), make_run("minmax", lambda _, recipe: recipe["threat"].update(eps=0.012)))
    assert findings.headline_size(runs) == 0.01


def test_the_headline_is_the_size_that_most_met(make_run):
    sizes = {"jitter": 0.04, "minmax": 0.01, "pgd": 0.01}
    runs = read(
        *(
            make_run(name, lambda _, recipe, eps=eps: recipe["threat"].update(eps=eps))
            for name, eps in sizes.items()
        )
    )
    assert findings.headline_size(runs) == 0.01


def test_many_are_told_by_the_least_and_the_most(make_run):
    runs = read(
        *(make_run(name) for name in ("erm", "minmax", "pgd", "jitter", "universal", "parseval", "plugged"))
    )
    told = findings.key_finding(runs)
    assert told.count("fold") == 2
    assert "at the least of " in told
    assert ", at the most of " in told
    assert len(told) < 400


def test_where_a_growth_is_not_known_none_is_called_the_most(make_run):
    def without_clean(result, recipe):
        result["curve"] = [row for row in result["curve"] if row["eps"]]

    names = ("erm", "minmax", "pgd", "jitter", "universal", "parseval")
    runs = read(*(make_run(name) for name in names), make_run("plugged", without_clean))
    told = findings.key_finding(runs).split("; ")[0]
    assert all(name in told for name in (*names, "plugged"))


def test_no_size_in_common_no_comparison(make_run):
    def other_grid(result, recipe):
        for row in result["curve"]:
            row["eps"] *= 1.7

    runs = read(make_run("erm"), make_run("minmax", other_grid))
    assert findings.headline_size(runs) is None
    assert "no size" in findings.key_finding(runs)
    assert any("different sizes ε" in sentence for sentence in warnings(runs, []))


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("data", "split_sha256", "00" * 32, "splits"),
        ("data", "store_sha256", "00" * 32, "hash of the store"),
        ("data", "n_slices", 12, "numbers of slices"),
        ("scan", "views", 143, "scans"),
    ],
)
def test_different_measurements_are_warned_of_and_not_compared(make_run, section, key, value, said):
    def change(result, recipe):
        (result if section == "data" else recipe)[section][key] = value

    runs = read(make_run("erm"), make_run("minmax", change))
    assert any(said in sentence for sentence in warnings(runs, []))
    assert "different data" in findings.key_finding(runs)
    assert len(references(runs)) == 2
    assert all("÷" not in line.name for block in result_blocks(runs) for line in block.lines)


def test_different_attacks_are_warned_of(make_run):
    runs = read(make_run("erm"), make_run("minmax", lambda result, _: result["attack"].update(steps=5)))
    assert any("attacks differ in steps" in sentence for sentence in warnings(runs, ["pgd"]))
    assert any("pgd is left out" in sentence for sentence in warnings(runs, ["pgd"]))
    assert warnings(read(runs[0].folder), []) == []


def test_a_perturbation_outside_its_ball_is_warned_of(make_run, stored_examples):
    delta = 1.5 * stored_examples("erm")["delta"]
    runs = read(make_run("erm", arrays={"delta": delta}))
    assert any("larger than the ε" in sentence for sentence in warnings(runs, []))


def test_overlapping_intervals_are_told(make_run):
    runs = read(make_run("erm"), make_run("minmax", scaled(2.5)))
    assert any("95 % intervals" in sentence for sentence in findings.remarks(runs))
    assert not any("intervals" in s for s in findings.remarks(read(runs[0].folder, make_run("pgd"))))


def test_slices_are_shared_where_they_are_the_same(make_run, stored_examples):
    truth = 0.9 * stored_examples("erm")["truth"]
    same = read(make_run("erm"), make_run("minmax"))
    assert [len(shown.members) for shown in shown_slices(same)] == [2, 2]
    other = read(same[0].folder, make_run("minmax", name="other", arrays={"truth": truth}))
    assert [len(shown.members) for shown in shown_slices(other)] == [1, 1, 1, 1]


def test_windows_follow_the_content():
    hu = np.full((64, 64), -1000.0)
    hu[16:48, 16:48] = 40
    assert choose_window(hu).name == "soft tissue"
    hu[20:44, 20:44] = -800
    assert choose_window(hu).name == "lung"
    assert choose_window(np.full((8, 8), 900.0)).name == "overview"
    assert "W 400 L 40 HU (−160 to 240)" in str(choose_window(np.full((8, 8), 0.0)))


def test_psnr_has_peak_one():
    assert psnr_db(np.full((4, 4), 1.1), np.ones((4, 4))) == pytest.approx(20)


def test_smoothing_keeps_length_and_level():
    assert smoothed(np.full(200, 7.0)) == pytest.approx(np.full(200, 7.0))
    assert smoothed(np.array([3.0])) == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (14.63, "14.6"),
        (470.4, "470"),
        (30064, "30\u202f064"),
        (1e-9, "1.00e-09"),
    ],
)
def test_errors_have_three_digits(value, text):
    assert numbers.error(value) == text
