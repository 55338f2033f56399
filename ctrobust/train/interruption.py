"""Ctrl-C and SIGTERM between two steps, so that what is left behind can be resumed."""

import signal
import threading
from types import FrameType, TracebackType

import torch
from lightning_fabric import Fabric


class Interruption:
    """with Interruption(fabric) as asked: … if asked(): save what there is; asked.end()

    The first signal is remembered, on any process; a second one ends at once, as it would have without this.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric, self._signal = fabric, 0
        self._watched = (
            (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        )

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._remember) for number in self._watched}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._put_back()

    def __call__(self) -> bool:
        """Whether any process was asked to stop; all get the same answer."""
        if self._fabric.world_size > 1:
            asked = torch.tensor(float(self._signal))
            self._signal = int(torch.as_tensor(self._fabric.all_reduce(asked, reduce_op="max")).item())
        return bool(self._signal)

    def end(self) -> None:
        """Raises what the signal stands for."""
        if self._signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
