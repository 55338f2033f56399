"""The three ways in which memory runs out here."""

import numpy as np
import pytest
import torch


def cuda_is_full() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has …")


each_way = pytest.mark.parametrize(
    "happen",
    [cuda_is_full, lambda: torch.empty(10**15), lambda: np.empty(10**15)],
    ids=["CUDA", "CPU", "numpy"],
)
"""happen(): the memory of a GPU, of torch on a CPU, or of numpy is full."""
