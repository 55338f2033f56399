"""Seeds as replicates: what is averaged, what is kept apart, and the trade-off drawn of them."""

from statistics import fmean, stdev

import numpy as np
import pytest
import yaml

from ctrobust.core.statistics import clustered_interval
from ctrobust.recipes.loading import as_yaml
from ctrobust.recipes.schema import Recipe
from ctrobust.report import findings, write_report
from ctrobust.report.compare import hues, warnings
from ctrobust.report.comparisons import comparisons
from ctrobust.report.paper import markdown
from ctrobust.report.replicates import pool
from ctrobust.report.runs import find_runs, flattened, read_runs
from ctrobust.report.trade_off import draw_trade_off, spread_rows


def read(*given):
    return read_runs(find_runs(given)[0])


def one(seed, factor=1.0, eps=0.02, split=None, pixel_mm=3.1, failed=False):
    def change(result, recipe):
        recipe["seed"], recipe["threat"]["eps"], recipe["scan"]["pixel_mm"] = seed, eps, pixel_mm
        if split:
            recipe["data"]["split"], result["data"]["split_sha256"] = f"/home/jane/{split}.json", split
        result["clean"]["psnr_db"] += factor
        result["attack"]["checks"]["doubled_steps"].update(ok=not failed)
        for row in result["curve"]:
            row["rho"] *= factor

    return change


@pytest.fixture
def seeds(make_run):
    """Three of erm, three of minmax; ρ̂(2 %) of erm: 369 × 1, 2, 3."""
    return read(
        *(
            make_run(method, one(seed, factor=1.0 + seed), name=f"{method}-{seed}", slices=1)
            for method in ("erm", "minmax")
            for seed in range(3)
        )
    )


def test_replicates_are_their_mean(seeds):
    erm, minmax = pool(seeds)
    assert [run.label for run in (erm, minmax)] == ["erm", "minmax"]
    assert [len(run.singles) for run in (erm, minmax)] == [3, 3]
    assert erm.result.learned.at(0.02).rho == pytest.approx(369 * 2)
    assert erm.result.learned.at(0.02).rho_ci95 is None
    assert erm.result.learned.clean.psnr_db == pytest.approx(29.2 + 2)
    assert erm.result.reference.at(0.02).rho == pytest.approx(405)
    assert warnings([erm, minmax], []) == []


def test_what_an_earlier_recipe_does_not_name_had_its_default(make_run):
    """A list in a list among it: the default of every key, as a recipe's file spells it."""

    def later(result, recipe):
        spelt = flattened(yaml.safe_load(as_yaml(Recipe())))
        recipe["seed"] = 1
        for key in spelt.keys() - flattened(recipe).keys():
            *sections, name = key.split(".")
            held = recipe
            for section in sections:
                held = held.setdefault(section, {})
            held[name] = spelt[key]

    (pooled,) = pool(read(make_run("erm", slices=1), make_run("erm", later, name="later", slices=1)))
    assert (pooled.label, len(pooled.singles)) == ("erm", 2)


def test_the_table_gives_mean_and_spread(seeds):
    (row, _) = spread_rows(pool(seeds))
    assert row.runs == 3
    assert row.cells[0] == f"{fmean([30.2, 31.2, 32.2]):.2f} ± {stdev([30.2, 31.2, 32.2]):.2f}"
    assert row.cells[3 + 3] == "738 ± 369"
    assert row.cells[-1] == "120 ± 0"
    assert spread_rows(seeds[:2]) == []


def test_what_differs_in_more_than_the_seed_is_kept_apart(make_run):
    runs = read(
        make_run("minmax", one(0), name="a"),
        make_run("minmax", one(1), name="b"),
        make_run("minmax", one(0, eps=0.01), name="c"),
        make_run("minmax", one(0), name="again"),
        make_run("minmax", lambda result, _: result["data"].update(store_sha256="00"), name="elsewhere"),
    )
    pooled = pool(runs)
    assert [len(run.each) for run in pooled] == [2, 1, 1, 1]
    assert len({run.label for run in pooled}) == 4
    assert "eps 0.02" in pooled[0].label


def test_folds_are_replicates_and_are_not_warned_of(make_run):
    runs = [
        make_run(method, one(fold, split="abc"[fold], pixel_mm=3 + fold), name=f"{method}-{fold}")
        for method in ("erm", "pgd")
        for fold in range(3)
    ]
    pooled = pool(read(*runs))
    assert [run.label for run in pooled] == ["erm", "pgd"]
    assert warnings(pooled, []) == []
    assert "0.18 × erm’s" in findings.key_finding(pooled)
    # Without one fold of one of them the means are of different data.
    assert any("splits" in sentence for sentence in warnings(pool(read(*runs[:-1])), []))


def test_pixel_sizes_that_were_chosen_are_no_replicates(make_run):
    runs = [make_run("erm", one(seed, pixel_mm=3 + seed), name=str(seed)) for seed in range(2)]
    assert [len(run.each) for run in pool(read(*runs))] == [1, 1]


def test_what_else_was_asked_of_a_run_keeps_no_folds_apart(make_run):
    """A δ transferred from the same fold's other method is a path of its own in every fold."""

    def asked(number):
        def change(result, recipe):
            fold(number)(result, recipe)
            recipe["evaluate"] |= {"transfer_from": f"/home/jane/{number}", "examples": number}
            recipe["evaluate"] |= {"examinations": ["views"][number:], "controls": ["fbp", "tv"][number:]}

        return change

    (erm,) = pool(read(*(make_run("erm", asked(number), name=str(number)) for number in range(2))))
    assert (erm.label, len(erm.singles)) == ("erm", 2)


def test_controls_judged_on_the_same_runs_are_no_replicates(make_run):
    """`evaluate --f` writes the recipe of the run whose data it takes, method and all."""

    def judged(name, seed):
        def change(result, recipe):
            one(seed, split=f"split-{seed}")(result, recipe)
            result["method"] = name

        return change

    found = [make_run("erm", judged(name, seed), name=name) for seed, name in enumerate(("cgls", "fbp"))]
    assert [run.label for run in pool(read(*found))] == ["cgls", "fbp"]


def test_one_failed_check_of_three_fails(make_run):
    runs = [make_run("erm", one(seed, failed=seed == 1), name=str(seed)) for seed in range(3)]
    (erm,) = pool(read(*runs))
    assert [check.name for check in erm.result.learned.failed] == ["doubled_steps"]
    assert len(erm.result.learned.checks) == 2


def test_remarks_tell_how_many_runs(seeds, make_run):
    said = findings.remarks(pool(seeds))
    assert any("erm and minmax are means over 3 runs each" in sentence for sentence in said)
    assert not any("once" in sentence or "fewer than six" in sentence for sentence in said)
    said = findings.remarks(pool([*seeds, *read(make_run("pgd"))]))
    assert any("means over 3" in sentence for sentence in said)


def test_a_colour_a_method_and_a_colour_a_run_where_there_is_one_method(make_run, seeds):
    other = read(make_run("minmax", one(0, eps=0.01), name="other"))
    pooled = pool([*seeds, *other])
    assert [hues(pooled)[1] == hue for hue in hues(pooled)] == [False, True, True]
    assert len(set(hues(pooled[1:]))) == 2


def test_the_page_shows_the_trade_off_of_three_and_of_replicates(seeds, make_run, tmp_path):
    page = write_report([run.folder for run in seeds], tmp_path / "out").read_text()
    assert "738 ± 369" in page
    assert "Table 2." in page
    assert page.index("Figure 1.") < page.index("Figure 2.") < page.index("Figure 5.")
    assert {path.name for path in (tmp_path / "out" / "figures").glob("tr*")} == {
        "trade-off.png",
        "training-erm.png",
        "training-minmax.png",
    }


def test_the_trade_off_says_its_numbers(seeds, make_run):
    picture = draw_trade_off([*pool(seeds), *read(make_run("pgd"))], 0.02)
    assert "erm at 31.2 dB and 738" in picture.alt
    assert "pgd at 29.4 dB and 65.0" in picture.alt
    assert "standard deviation" in picture.caption
    assert "standard deviation" not in draw_trade_off(read(*(run.folder for run in seeds[:3])), 0.02).caption


def fold(number, factor=1.0, adversary=True):
    """The part of nine slices, of six patients, that this fold judges: 2, 3 and 4 of them."""

    def change(result, recipe):
        one(0, split=f"fold-{number}")(result, recipe)
        places = ([0, 1], [2, 3, 4], [5, 6, 7, 8])[number]
        worst = [factor * (100.0 + 10 * place) for place in places]
        owners = [f"P{place % 6}" for place in places]
        result["slices"] = {
            "index": places,
            "patient": owners,
            "worst": {f"{row['eps']:g}": worst for row in result["curve"]},
        }
        result["data"].update(n_slices=len(places), n_patients=len(set(owners)))
        for row in result["curve"]:
            row.update(rho=sum(worst) / len(worst), random=float(number), rho_ci95=None)
        if adversary:
            row = {"name": "adam", "budget": "l2", "eps": 0.02, "rho": 0.0, "rho_ci95": None}
            result["adversaries"] = [row | {"size": 0.01 * (1 + number), "worst": worst}]

    return change


def test_folds_count_by_their_slices_and_have_an_interval_over_all_patients(make_run):
    runs = [make_run("erm", fold(number), name=f"fold-{number}") for number in range(3)]
    (erm,) = pool(read(*runs))
    errors = np.array([100.0 + 10 * place for place in range(9)])
    point = erm.result.learned.at(0.02)
    assert point.rho == pytest.approx(errors.mean())
    assert point.random == pytest.approx((2 * 0 + 3 * 1 + 4 * 2) / 9)
    assert point.rho_ci95 == pytest.approx(clustered_interval(errors, [place % 6 for place in range(9)]))
    assert erm.result.data["n_slices"] == 9
    assert erm.result.data["n_patients"] == 6
    (adam,) = erm.result.adversaries
    assert (adam.rho, adam.rho_ci95) == (pytest.approx(errors.mean()), pytest.approx(point.rho_ci95))
    assert adam.size == pytest.approx((2 * 0.01 + 3 * 0.02 + 4 * 0.03) / 9)
    assert any("over all slices of 3 folds" in sentence for sentence in findings.remarks([erm]))
    assert "9 slices of 6 patients" in markdown([erm])
    assert "kept it apart" in markdown([erm])


def test_folds_of_two_methods_are_compared_slice_by_slice(make_run):
    runs = [
        make_run(method, fold(number, factor), name=f"{method}-{number}")
        for method, factor in (("erm", 1.0), ("minmax", 0.5))
        for number in range(3)
    ]
    (row,) = (
        row for row in comparisons(pool(read(*runs)), 0.02) if row.label == "minmax" and row.eps == 0.02
    )
    assert (row.found.slices, row.found.patients) == (9, 6)
    assert row.found.ratio == pytest.approx(0.5)
    assert row.verdict == "smaller error"


def test_splits_that_overlap_are_no_folds(make_run):
    """Seeds that each drew a split of their own: a slice counts in several, and so the runs are averaged."""

    def overlapping(number):
        def change(result, recipe):
            fold(number)(result, recipe)
            result["slices"]["index"][0], result["slices"]["patient"][0] = 0, "P0"

        return change

    runs = [make_run("erm", overlapping(number), name=f"fold-{number}") for number in range(3)]
    (erm,) = pool(read(*runs))
    assert erm.result.learned.at(0.02).rho_ci95 is None
    assert erm.result.learned.at(0.02).random == pytest.approx(1.0)
    assert any("means over 3 runs" in sentence for sentence in findings.remarks([erm]))


def test_an_adversary_that_one_fold_lacks_is_left_out(make_run):
    runs = [make_run("erm", fold(number, adversary=number > 0), name=f"fold-{number}") for number in range(3)]
    (erm,) = pool(read(*runs))
    assert erm.result.adversaries == ()
