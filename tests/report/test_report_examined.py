"""The page's section on stability, texture and bounds: as `ctrobust.evaluate.examinations` writes it."""

import pytest
from told_in_full import in_full

from ctrobust.core.errors import UserError
from ctrobust.report import write_report
from ctrobust.report.examined import TABLES, draw_texture, tables
from ctrobust.report.runs import find_runs, read_runs


def examined(result, recipe):
    contrasts = {"crc": 0.64, "crc_hidden": -0.5, "crc_invented": 1.2}
    observers = {f"{who}{case}": 3.5 for who in ("npw", "cho") for case in ("", "_hidden", "_invented")}
    curve = {"frequency_per_mm": [0.0, 0.1], "mtf": [1.0, 0.4]}
    edge = {"contrast": 0.9, "mtf50_per_mm": 0.083, "mtf10_per_mm": None, **curve}
    result["examinations"] = {
        "tiny": {
            "relative": 2.6e-5,
            "error_clean": 52.78,
            "change_image": 0.0013,
            "error_image": 52.8,
            "change_measurement": 0.024,
            "error_measurement": 53.0,
            "price": 20.0,
            "steps": 100,
        },
        "structures": {
            "photons": 1e5,
            "draws": 40,
            "structures": {"nodule of 8 mm": {"eps": 2.4e-4, **contrasts, **observers}},
        },
        "views": {"rows": [{"views": 36, "trained": True, "squared_error": 44.9, "psnr_db": 25.9}]},
        "texture": {
            "photons": 1e5,
            "draws": 40,
            "disc": {"diameter_mm": 36.0, "contrast_hu": 100.0},
            "noise": {"frequency_per_mm": [0.0, 0.1], "power_hu2_mm2": [900.0, 20.0]},
            "edge": edge,
            "edge_attacked": edge | {"mtf50_per_mm": 0.05},
        },
        "bracket": {
            "eps": 0.02,
            "rows": [
                {"kind": "attack", "side": "lower", "rho": 567.3, "lipschitz": None, "note": ""},
                {
                    "kind": "product (vacuous)",
                    "side": "upper",
                    "rho": 1.6e26,
                    "lipschitz": 4.9e10,
                    "note": "far",
                },
            ],
        },
    }


def read(*given):
    return read_runs(find_runs(given)[0])


def test_every_examination_has_its_table(make_run, tmp_path):
    run = make_run("minmax", examined, slices=1)
    page = write_report([run], tmp_path / "page").read_text()
    for text in (
        "nodule of 8 mm",
        "−0.5".replace("0.5", "50"),
        "36 (as trained)",
        "0.083",
        "1.60e+26",
        "vacuous",
    ):
        assert text in page
    assert (tmp_path / "page" / "figures" / "texture.png").exists()
    assert 'href="#examined"' in page
    found = tables(read(run))
    assert [table.name for table in found] == list(TABLES)
    assert all(len(row) == len(table.head) for table in found for row in table.rows)


def test_without_examinations_there_is_no_section(make_run, tmp_path):
    run = make_run("minmax", slices=1)
    assert 'href="#examined"' not in write_report([run], tmp_path / "page").read_text()
    assert draw_texture(read(run)) is None


def test_what_was_not_made_is_said(make_run, tmp_path):
    def change(result, recipe):
        result["examinations"] = {"views": {"not_made": "f is of one scan alone"}}

    page = write_report([make_run("minmax", change, slices=1)], tmp_path / "page").read_text()
    assert "minmax: views was not made, f is of one scan alone." in page


def test_of_replicates_the_first_that_has_them_is_shown_and_said_to_be(make_run, tmp_path):
    def seed(number):
        def change(result, recipe):
            recipe["seed"] = number
            if number:
                in_full(result, recipe)
                examined(result, recipe)
                result["examinations"]["views"]["rows"][0]["squared_error"] = 100.0 * number
                result["anatomy"][1]["attacked"]["rmse_hu"] = 1000.0 * number

        return change

    runs = [make_run("minmax", seed(number), name=str(number), slices=1) for number in range(3)]
    page = write_report(runs, tmp_path / "page").read_text()
    for there, elsewhere in (("100", "200"), ("1000.0", "2000.0")):
        assert f'<td class="number">{there}</td>' in page
        assert f'<td class="number">{elsewhere}</td>' not in page
    assert page.count("Of several runs the first that has them stands here.") == 2
    assert "stands here" not in write_report(runs[1:2], tmp_path / "alone").read_text()


@pytest.mark.parametrize("name", ["tiny", "structures", "views", "bracket", "texture"])
def test_a_form_of_another_version_is_named(make_run, name):
    def change(result, recipe):
        examined(result, recipe)
        result["examinations"][name] = {"something": 1}

    runs = read(make_run("minmax", change, slices=1))
    with pytest.raises(UserError, match=rf"examinations.{name}: not as this version writes it"):
        tables(runs)
