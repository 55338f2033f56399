"""How a step fails: with its number, its slices and what to try, before anything is saved."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ctrobust.core.errors import UserError, ran_out_of_memory
from ctrobust.train.methods.method import Figures


def require_finite(figures: Figures, y: Tensor, kept: dict[str, Any]) -> None:
    """Of the figures, and of all that goes into a checkpoint: between two validations nothing looks at G."""
    bad = [name for name, value in figures.items() if not math.isfinite(value)]
    bad += [name for name, content in kept.items() if not _finite(content)]
    if not bad:
        return
    if not y.isfinite().all():
        raise UserError("a measurement is not a finite number; leave that slice out, or ingest it again")
    rate = "threat.lr" if bad == ["adversary"] else "train.lr"
    raise UserError(f"{', '.join(bad)} is not a finite number; lower {rate}, or take train.precision=fp32")


def _finite(content: object) -> bool:
    """Of the tensors alone: the best score is infinite until there is one."""
    if isinstance(content, dict | list | tuple):
        return all(map(_finite, content.values() if isinstance(content, dict) else content))
    return not isinstance(content, Tensor) or bool(content.isfinite().all())


@contextmanager
def in_plain_words(step: int, slices: list[int]) -> Iterator[None]:
    """What went wrong in a step, with the step, its slices and what to try."""
    where, kept = f"step {step} (slices {slices}): ", "; the last checkpoint is from before"
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}{error}{kept}") from None
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise UserError(
            f"{where}out of memory; raise train.accumulate, or lower train.batch_size, network.base_channels or "
            f"data.size{kept}"
        ) from None
