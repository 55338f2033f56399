"""Weights alone, as safetensors: what is handed over, readable without ctrobust and unable to run anything."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ctrobust.core.errors import UserError
from ctrobust.networks.checkpoint import SCHEMA

ABOUT = "ctrobust"


def save_weights(path: Path, content: dict[str, Any]) -> None:
    """Of a checkpoint's content, the network and the physics it was trained for; the same bytes for the same two."""
    tensors = {name: value.contiguous() for name, value in content["network"].items()}
    about = json.dumps({"schema": SCHEMA, "physics": content.get("physics", {})})
    # One entry: safetensors writes several in any order.
    path.write_bytes(save(tensors, {ABOUT: about}))


def load_weights(path: Path) -> dict[str, Any]:
    """Back to `network` and `physics`, on the CPU. Raises UserError on a damaged or foreign file."""
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {})[ABOUT])
            network = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, KeyError, SafetensorError):
        raise UserError(f"{path}: not weights of ctrobust, or damaged; ask for the file again") from None
    if about["schema"] > SCHEMA:
        raise UserError(f"{path}: written by a newer ctrobust (schema {about['schema']}); update ctrobust")
    return {"network": network, "physics": about["physics"]}
