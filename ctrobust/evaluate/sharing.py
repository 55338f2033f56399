"""Work shared out over the processes that torchrun started: one does every n-th piece, all get what all found."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist

from ctrobust.core.errors import UserError
from ctrobust.core.progress import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Finding = TypeVar("Finding")

# A process that is done waits for the one with a piece more, which may take hours; the usual half hour would end both.
# One that has died is not waited for: its connections close, and the launcher ends the others.
PATIENCE = timedelta(days=7)


def share_out(
    work: Sequence[Callable[[], Finding]], label: str, fabric: "Fabric | None" = None
) -> list[Finding]:
    """What the pieces of `work` give, in their order, on every process; without a fabric one does them all.

    The pieces are the same for any number of processes, and so is what they give, to the bit. It must be small and
    without CUDA tensors: it travels pickled. What a piece raises ends its process at once. Raises UserError where
    another process has ended.
    """
    rank, processes = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    # By way of the host also where the processes compute on GPUs; made now, while none is ahead of another.
    group = dist.new_group(backend="gloo", timeout=PATIENCE) if processes > 1 else None
    mine = work[rank::processes]
    found = [piece() for piece in Progress(mine, label, total=len(mine), enabled=rank == 0)]
    shares = [found] if group is None else _gathered(found, processes, group)
    return [shares[place % processes][place // processes] for place in range(len(work))]


def _gathered(found: list[Finding], processes: int, group: Any) -> list[list[Finding]]:
    shares: list[Any] = [None] * processes
    try:
        dist.all_gather_object(shares, found, group=group)
    except RuntimeError:
        raise UserError(
            "another process has ended, and its share is missing; its own line says why"
        ) from None
    dist.destroy_process_group(group)
    return shares
