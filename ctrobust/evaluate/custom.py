"""Any reconstructor, by name: judged on the data, split and scan of a run, exactly like ours.

The one rule: the name stands for a function that is called once with the run's `Projector` and returns f, a callable
y ↦ x̂ that gradients go through. Where f has a `projector` of its own, its `matched` is believed; otherwise the
gradient is compared with finite differences before the attack starts.
"""

import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from ctrobust.core.errors import UserError
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat.ascent import Reconstructor

GROUP = "ctrobust.reconstructors"


def build_reconstructor(name: str, A: Operator, *, channels: int = 1) -> Reconstructor:
    """f by `package.module:function`, or by an installed package's entry point in `ctrobust.reconstructors`.

    Raises UserError on a name that leads nowhere, a function that does not take a Projector, an f that does not map
    (B, C, views, bins) to (B, C, H, W), C the channels, and one that no gradient goes through.
    """
    make = _found(name)
    try:
        f = make(A)
    except TypeError as error:
        raise UserError(f"{name}: {error}; give a function that takes a Projector and returns f") from None
    if not callable(f):
        raise UserError(
            f"{name}: returned a {type(f).__name__}; give a function that takes a Projector and returns f"
        )
    if isinstance(f, torch.nn.Module):
        f = f.to(A.device).eval().requires_grad_(False)
    _require_images(name, f, A, channels)
    return f  # type: ignore[no-any-return]


def _found(name: str) -> Any:
    if ":" not in name:
        named = {entry.name: entry for entry in entry_points(group=GROUP)}
        if name in named:
            return named[name].load()
        known = ", ".join(sorted(named)) or "none"
        raise UserError(
            f"--f {name}: no such reconstructor is installed ({known}); or give package.module:function"
        )
    module, _, attribute = name.partition(":")
    # As for `python -m`: the command of an installed package does not look where it was called.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        made: Any = import_module(module)
        for part in attribute.split("."):
            made = getattr(made, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--f {name}: {error}; is it in this folder, or on PYTHONPATH?") from None
    if not callable(made):
        raise UserError(
            f"--f {name}: is a {type(made).__name__}; give a function that takes a Projector and returns f"
        )
    return made


def _require_images(name: str, f: Any, A: Operator, channels: int) -> None:
    """Of two samples, on measurements of discs: nothing but air may divide a method of one's own by zero."""
    disc = torch.zeros(2, channels, *A.image_shape, device=A.device)
    rows, columns = (size // 4 for size in A.image_shape)
    disc[..., rows:-rows, columns:-columns] = 1.0
    y = A(disc).requires_grad_()
    image = f(y)
    wanted = (2, channels, *A.image_shape)
    if not isinstance(image, torch.Tensor) or image.shape != wanted:
        found = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
        raise UserError(f"--f {name}: f gives {found} for two samples; give a tensor of shape {wanted}")
    if not image.requires_grad:
        raise UserError(
            f"--f {name}: no gradient goes through f; does it detach y, or run under torch.no_grad or in numpy?"
        )
