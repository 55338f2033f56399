"""What a recipe may say: frozen values with their defaults. Configuration stops at the door."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_frozen = ConfigDict(extra="forbid")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

Precision = Literal["auto", "fp32", "bf16"]
MethodName = Literal["erm", "minmax"]


@dataclass(frozen=True, config=_frozen)
class DataRecipe:
    """store: null for the embedded data set; split: null to divide by patient with the run's seed."""

    store: str | None = None
    split: str | None = None
    size: Annotated[int, Field(ge=16)] = 128
    resample: bool = True
    eval_fraction: Fraction = 0.25
    val_fraction: Fraction = 0.1


@dataclass(frozen=True, config=_frozen)
class ScanRecipe:
    """How y is measured, and filtered for f.

    pixel_mm: null for the median of the training slices; photons: N₀ per ray, null for noiseless; with electronic
    noise of electronic_counts. arc and the two distances are a fan's: by default those of a diagnostic scanner
    (Siemens Definition AS+), all around it or over the shortest arc that sees every line. backend: how A is computed.
    """

    geometry: Literal["parallel", "fan"] = "parallel"
    views: Count = 36
    pixel_mm: Positive | None = None
    photons: Positive | None = None
    electronic_counts: NotNegative = 0.0
    window: Literal["ram-lak", "shepp-logan", "cosine", "hamming", "hann"] = "ram-lak"
    arc: Literal["full", "short"] = "full"
    source_to_iso_mm: Positive = 595.0
    iso_to_detector_mm: NotNegative = 490.6
    backend: Literal["auto", "numba", "triton", "matrix", "astra", "astra-cuda"] = "auto"


@dataclass(frozen=True, config=_frozen)
class NetworkRecipe:
    """f: FBPConvNet on the FBP image; the defaults are the published ones."""

    name: Literal["fbpconvnet"] = "fbpconvnet"
    base_channels: Count = 64
    levels: Annotated[int, Field(ge=1, le=8)] = 5


@dataclass(frozen=True, config=_frozen)
class TrainRecipe:
    """How f descends.

    precision auto: bf16 where the processor multiplies in it, else fp32; lr falls along half a cosine; flips of
    the slices; freeze_norm: share of the steps after which batch norm keeps its statistics (1: never).
    """

    steps: Count = 300
    batch_size: Count = 8
    lr: Positive = 1.0e-3
    precision: Precision = "auto"
    flips: bool = True
    freeze_norm: Annotated[float, Field(ge=0, le=1)] = 0.5
    checkpoint_every: Count = 50
    log_every: Count = 10


@dataclass(frozen=True, config=_frozen)
class ThreatRecipe:
    """The adversary met in training. weight: λ₁; lambda_2: of the hinge, raised while G leaves the ball."""

    eps: Positive = 0.02
    weight: NotNegative = 1.0
    ball: Literal["project", "hinge"] = "project"
    lambda_2: Positive = 1.0e6
    sees: Literal["sinogram", "gradient"] = "sinogram"
    steps_per_update: Count = 1
    base_channels: Count = 16
    levels: Annotated[int, Field(ge=1, le=8)] = 4
    lr: Positive = 1.0e-3


@dataclass(frozen=True, config=_frozen)
class EvaluateRecipe:
    """The ascent that measures: radii, steps, restarts; slices: at most so many, spread over the patients.

    allow_unmatched: attack through a back-end whose transpose is not exact, which understates the worst case; the
    result says so.
    """

    eps: tuple[NotNegative, ...] = (0.0, 0.005, 0.01, 0.02, 0.04)
    steps: Count = 100
    restarts: Count = 3
    batch_size: Count = 8
    slices: Count | None = None
    examples: Annotated[int, Field(ge=0)] = 3
    allow_unmatched: bool = False


@dataclass(frozen=True, config=_frozen)
class Recipe:
    """One training run, or one a method where `method` is a list."""

    method: MethodName | Annotated[tuple[MethodName, ...], Field(min_length=1)] = "minmax"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataRecipe = DataRecipe()
    scan: ScanRecipe = ScanRecipe()
    network: NetworkRecipe = NetworkRecipe()
    train: TrainRecipe = TrainRecipe()
    threat: ThreatRecipe = ThreatRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
