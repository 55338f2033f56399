"""Checkpoints: tensors and plain values only, complete or absent, refused where they are not ours."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing

FORMAT = "ctrobust checkpoint"
SCHEMA = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write beside, sync, rename: a full disk or a kill leaves the earlier checkpoint.

    Raises UserError where it cannot be written.
    """
    try:
        with replacing(path) as part:
            torch.save({"format": FORMAT, "schema": SCHEMA, **content}, part)
    except RuntimeError as error:  # torch's writer, on a full disk
        raise UserError(
            f"{path}: cannot be written ({str(error).splitlines()[0]}); is the disk full? The earlier one is whole"
        ) from None


def weights_sha256(network: nn.Module) -> str:
    """SHA-256 of all weights and statistics, in hex: the same for the same network, whenever it was saved."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given, on the CPU. Raises UserError on a missing, damaged or foreign file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; has the run been trained?") from None
    except Exception:  # torch's reader raises nearly anything on bytes that are no checkpoint
        content = None
    ours = isinstance(content, dict) and content.get("format") == FORMAT
    if content is None or not (ours and isinstance(content.get("schema"), int)):
        raise UserError(f"{path}: not a checkpoint of ctrobust, or damaged; train again or take another run")
    if content["schema"] > SCHEMA:
        raise UserError(f"{path}: written by a newer ctrobust (schema {content['schema']}); update ctrobust")
    return dict(content)
