"""The card that goes with weights: what they are, what they were found to do, and what they are not for."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from ctrobust import __version__
from ctrobust.report.compare import direct_name
from ctrobust.report.numbers import decibel, error, general, percent
from ctrobust.report.runs import Run
from ctrobust.report.tables import short


def render_card(run: Run, facts: Mapping[str, Any]) -> str:
    """Markdown, from what is handed over and these facts.

    trained, chosen: steps of f, in all and at its best; seconds; n_train, n_val: slices; weights_sha256: of the file;
    licence: of the weights, or none.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {
        "decibel": decibel,
        "error": error,
        "general": general,
        "percent": percent,
        "short": short,
    }
    template = (resources.files("ctrobust.report") / "card.md").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        run=run,
        recipe=run.recipe,
        result=run.result,
        direct=direct_name(run),
        version=__version__,
        **facts,
    )
