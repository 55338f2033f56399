"""A small series, and pydicom told to refuse what DICOM does not allow."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from pydicom import config

from ctrobust.export import Derivation, ImageSeries, Plane, nobody


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """Values that their type does not allow raise, when read and when written."""
    reading, writing = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.RAISE
    yield
    config.settings.reading_validation_mode, config.settings.writing_validation_mode = reading, writing


@pytest.fixture
def series() -> ImageSeries:
    """3 slices of 6×5 pixels, of nobody."""
    planes = [Plane((6, 5), (2.0, 1 / 3), (-1.5, 0.1 + 0.2, z), (1, 0, 0, 0, 1, 0)) for z in (-2.0, 0.0, 7.5)]
    derivation = Derivation(
        method="minmax",
        version="0.1.0",
        commit="0123456789abcdef0123456789abcdef01234567-dirty",
        weights_sha256="f" * 64,
        scan="parallel beam, 36 views of 182 bins, noiseless",
        simulated=True,
    )
    image_hu = np.random.default_rng(0).uniform(-1200, 3000, (3, 6, 5)).astype(np.float32)
    return ImageSeries(image_hu, planes, nobody("test"), derivation)


@pytest.fixture
def other(series: ImageSeries):
    """`other(number=1)`: the series with something different."""
    return lambda **changes: replace(series, **changes)
