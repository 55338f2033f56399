"""Checkpoints: tensors and plain values only, complete or absent, refused where they are not ours."""

from pathlib import Path
from typing import Any

import torch

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing

FORMAT = "ctrobust checkpoint"
SCHEMA = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write beside, sync, rename: a full disk or a kill leaves the earlier checkpoint."""
    with replacing(path) as part:
        torch.save({"format": FORMAT, "schema": SCHEMA, **content}, part)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given, on the CPU. Raises UserError on a missing, damaged or foreign file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; has the run been trained?") from None
    except Exception:  # torch's reader raises nearly anything on bytes that are no checkpoint
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of ctrobust, or damaged; train again or take another run")
    if content["schema"] > SCHEMA:
        raise UserError(f"{path}: written by a newer ctrobust (schema {content['schema']}); update ctrobust")
    return dict(content)
