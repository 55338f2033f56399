"""An .npy that grows is the .npy that NumPy writes."""

import numpy as np
import pytest

from ctrobust.export import GrowingArray


@pytest.mark.parametrize("batches", [[], [1], [3, 1, 96], [999, 1, 2]])
def test_byte_for_byte_what_numpy_writes(tmp_path, batches) -> None:
    images = np.random.default_rng(0).normal(size=(sum(batches), 3, 5)).astype(np.float32)
    with GrowingArray(tmp_path / "grown.npy", (3, 5)) as array:
        for part in np.split(images, np.cumsum(batches)[:-1]) if batches else []:
            array.append(part)
    np.save(tmp_path / "whole.npy", images)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
