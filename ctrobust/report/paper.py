"""The results as tables to paste: Markdown and LaTeX rounded as on the page, CSV with every digit."""

import csv
import io
from collections.abc import Sequence

from ctrobust.report.compare import all_sizes, everyone
from ctrobust.report.numbers import MINUS, THIN, decibel, error
from ctrobust.report.replicates import are_folds
from ctrobust.report.result import Measured, Point
from ctrobust.report.runs import Run
from ctrobust.report.style import SOFTWARE

HEAD = [
    "reconstructor",
    "runs",
    *("clean_psnr_db", "clean_ssim", "clean_rmse_hu"),
    *("eps", "rho", "rho_ci95_low", "rho_ci95_high", "random", "worst_psnr_db", "attack_checks"),
]
# How a file of ours begins: nobody else's is overwritten.
FIRST = {"md": f"<!-- {SOFTWARE} -->", "tex": f"% {SOFTWARE}", "csv": ",".join(HEAD)}

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {letter: f"\\{letter}" for letter in "&%$#_{}"} | {THIN: r"\,", MINUS: "$-$", "–": "--"}
LATEX |= {
    "ρ̂": r"$\hat\rho$",
    "ε": r"$\varepsilon$",
    "‖": r"$\|$",
    "δ": r"$\delta$",
    "Σ": r"$\sum$",
    "²": "$^2$",
}
LATEX |= {"†": r"$^\dagger$", "x̂": r"$\hat x$"}


def paper_tables(runs: Sequence[Run]) -> dict[str, str]:
    """The file of each kind: results.md, results.tex, results.csv."""
    return {"md": markdown(runs), "tex": latex(runs), "csv": tidy(runs)}


def markdown(runs: Sequence[Run]) -> str:
    head, rows = _cells(runs)
    lines = [
        FIRST["md"],
        _note(runs),
        "",
        _row(head),
        _row(["---", *("---:" for _ in head[1:])]),
        *(_row([cell.replace("|", "\\|") for cell in row]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def latex(runs: Sequence[Run]) -> str:
    """With booktabs."""
    head, rows = _cells(runs)
    lines = [
        f"{FIRST['tex']}; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(_note(runs))}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(map(escaped, head)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escaped, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def tidy(runs: Sequence[Run]) -> str:
    """One line a reconstructor and size; nothing is rounded."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(HEAD)
    counts = {run.label: len(run.each) for run in runs}
    for label, _, measured in everyone(runs):
        clean = measured.clean
        for point in measured.curve:
            interval = point.rho_ci95 or ("", "")
            quality = (clean.psnr_db, clean.ssim, "" if clean.rmse_hu is None else clean.rmse_hu)
            found = (point.eps, point.rho, *interval, point.random, point.psnr_db)
            writer.writerow([label, counts.get(label, ""), *quality, *found, _checked(measured)])
    return written.getvalue()


def escaped(text: str) -> str:
    """As LaTeX shows it: its own letters escaped, those of the field as mathematics."""
    longest = sorted(LATEX, key=len, reverse=True)
    done, rest = "", text
    while rest:
        found = next((piece for piece in longest if rest.startswith(piece)), rest[0])
        done, rest = done + LATEX.get(found, found), rest[len(found) :]
    return done


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    sizes = all_sizes(runs)
    head = [
        "Reconstructor",
        "PSNR, dB",
        "SSIM",
        runs[0].result.rmse_head,
        *(f"ρ̂({runs[0].result.written(eps)})" for eps in sizes),
    ]
    rows = [
        [
            f"{label}{' †' if measured.failed else ''}",
            decibel(measured.clean.psnr_db),
            f"{measured.clean.ssim:.3f}",
            measured.clean.rmse_written(),
            *(_worst(measured.at(eps)) for eps in sizes),
        ]
        for label, _, measured in everyone(runs)
    ]
    return head, rows


def _worst(point: Point | None) -> str:
    if point is None:
        return "–"
    interval = point.rho_ci95
    return error(point.rho) + (f" [{error(interval[0])}, {error(interval[1])}]" if interval else "")


def _note(runs: Sequence[Run]) -> str:
    data = runs[0].result.data
    slices, patients = data.get("n_slices", "?"), data.get("n_patients", "?")
    attack = runs[0].result.attack
    text = f"Clean quality, and worst-case squared error ρ̂(ε) per image, over {slices} slices of {patients} patients"
    if "steps" in attack:
        text += f"; attack: {attack.get('name', 'ascent')}, {attack['steps']} steps"
        text += f", {attack['restarts']} starts" if "restarts" in attack else ""
    text += "."
    shown = everyone(runs)
    if any(point.rho_ci95 for _, _, measured in shown for point in measured.curve):
        text += " In brackets: 95 % interval clustered by patient."
    pooled = [run for run in runs if run.singles]
    if any(are_folds(run.singles) for run in pooled):
        text += " Folds: every slice is judged by a run whose split kept it apart."
    if any(not are_folds(run.singles) for run in pooled):
        text += " Means over runs that differ in seed and split alone."
    if any(measured.failed for _, _, measured in shown):
        text += " †: a check of the attack failed; the true worst case may be far larger."
    return text


def _checked(measured: Measured) -> str:
    if measured.failed:
        return "failed: " + ", ".join(check.name for check in measured.failed)
    return "passed" if measured.checks else "none made"
