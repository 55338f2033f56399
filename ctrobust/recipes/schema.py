"""What a recipe may say: frozen values with their defaults. Configuration stops at the door."""

from importlib.metadata import entry_points
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

_frozen = ConfigDict(extra="forbid")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

Precision = Literal["auto", "fp32", "tf32", "bf16"]
METHOD_NAMES = ("erm", "weight_decay", "parseval", "jitter", "universal", "pgd", "minmax")


def _known(methods: object) -> object:
    """A name or a list of names, each ours or an installed package's."""
    known = [*METHOD_NAMES, *(entry.name for entry in entry_points(group="ctrobust.methods"))]
    names = methods if isinstance(methods, list | tuple) and methods else [methods]
    for name in names:
        if name not in known:
            raise ValueError(f"no {name!r}; give one of {', '.join(known)}, or a list such as [erm,minmax]")
    return methods


@dataclass(frozen=True, config=_frozen)
class DataRecipe:
    """store: null for the embedded data set; split: null to divide by patient with the run's seed.

    pictures: null for a store of CT slices; else how `store`, then a folder, is laid out (`ctrobust.pictures`), and the
    published parts are the split. resample: of slices of another pixel size than the run's. crop: pieces of `size`
    pixels at the slices' own pixel size, at a seeded place in training, the middle elsewhere. eval_fraction and
    val_fraction: of the patients, and of those that are left for training, where no split is given.
    """

    store: str | None = None
    split: str | None = None
    pictures: Literal["mnist", "celeba", "patches"] | None = None
    size: Annotated[int, Field(ge=16)] = 128
    resample: bool = True
    crop: bool = False
    eval_fraction: Fraction = 0.25
    val_fraction: Fraction = 0.1

    @property
    def channels(self) -> int:
        """Of an image: colours are three."""
        return 3 if self.pictures in ("celeba", "patches") else 1


DENSE = ("gaussian", "dct", "dct-submatrix", "spectrum")
"""Geometries that are a matrix: compressed sensing. The others are a scanner's."""


@dataclass(frozen=True, config=_frozen)
class ScanRecipe:
    """How y is measured, and filtered for f.

    geometry: a scanner's, or a matrix as below; views: how many directions; window: of FBP's filter.
    pixel_mm: null for the median of the training slices; photons: N₀ per ray, null for noiseless; with electronic
    noise of electronic_counts. arc, source_to_iso_mm and iso_to_detector_mm: a fan's, by default those of a diagnostic
    scanner (Siemens Definition AS+), all around it or over the shortest arc that sees every line. backend: how A is
    computed.

    gaussian, dct, dct-submatrix and spectrum are matrices (`ctrobust.operators.sensing`), drawn by the run's seed, with
    so many rows as measurements; start: the image that f begins from, A⁺y or Aᵀy. transform_size: of dct-submatrix,
    null for twice the pixels. condition: of spectrum, whose singular values fall geometrically from 1 to 1/condition.
    """

    geometry: Literal["parallel", "fan", "gaussian", "dct", "dct-submatrix", "spectrum"] = "parallel"
    measurements: Count = 200
    start: Literal["pinv", "transpose"] = "pinv"
    transform_size: Count | None = None
    condition: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    views: Count = 36
    pixel_mm: Positive | None = None
    photons: Positive | None = None
    electronic_counts: NotNegative = 0.0
    window: Literal["ram-lak", "shepp-logan", "cosine", "hamming", "hann"] = "ram-lak"
    arc: Literal["full", "short"] = "full"
    source_to_iso_mm: Positive = 595.0
    iso_to_detector_mm: NotNegative = 490.6
    backend: Literal["auto", "numba", "triton", "matrix", "astra", "astra-cuda"] = "auto"

    @property
    def dense(self) -> bool:
        """Whether A is a matrix rather than a scanner."""
        return self.geometry in DENSE

    @model_validator(mode="after")
    def _dose_of_a_scanner(self) -> "ScanRecipe":
        if self.dense and self.photons is not None:
            raise ValueError(f"photons are a scanner's: geometry={self.geometry} goes with photons=null")
        return self


@dataclass(frozen=True, config=_frozen)
class NetworkRecipe:
    """f, a network on the FBP image; the defaults are the published ones.

    name: there is one. base_channels: of the first level, twice as many on each further one. levels: of the U-Net.
    norm: over the batch or in groups.
    """

    name: Literal["fbpconvnet"] = "fbpconvnet"
    base_channels: Count = 64
    levels: Annotated[int, Field(ge=1, le=8)] = 5
    norm: Literal["batch", "group"] = "batch"


@dataclass(frozen=True, config=_frozen)
class TrainRecipe:
    """How f descends.

    steps: of f; epochs: passes over the training part, which then settle the steps. batch_size: of one process;
    accumulate: passes through f in so many parts, one after the other, for less memory; f and G learn from the whole
    batch, but batch norm, until it is frozen, from each part by itself. optimizer: Adam, or SGD with momentum.
    schedule: by cosine lr falls to 0 along half a cosine; log: geometrically to lr_end, which it has from the share
    lr_end_at of the steps on. clip_update: no weight moves by more than that in a step. precision: auto is bf16 where
    the processor multiplies in it, else fp32. compile: f by torch.compile. flips: of the slices.
    freeze_norm: share of the steps after which batch norm keeps its statistics (1: never). checkpoint_every,
    log_every: in steps. patience: stop after so many checkpoints that were not the best.
    log_to: beside history.csv; wandb and mlflow where installed.
    """

    steps: Count = 300
    epochs: Positive | None = None
    batch_size: Count = 8
    accumulate: Count = 1
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    lr: Positive = 1.0e-3
    schedule: Literal["cosine", "log"] = "cosine"
    lr_end: Positive = 1.0e-3
    lr_end_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    clip_update: Positive | None = None
    precision: Precision = "auto"
    compile: bool = False
    flips: bool = True
    freeze_norm: Annotated[float, Field(ge=0, le=1)] = 0.5
    checkpoint_every: Count = 50
    log_every: Count = 10
    patience: Count | None = None
    log_to: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)


@dataclass(frozen=True, config=_frozen)
class ThreatRecipe:
    """The adversary met in training.

    eps: of ‖y‖ (relative), or in mm of water; it grows from 0 over the share `ramp` of the steps. weight: λ₁.
    minmax: ball, sees, applications, first_look, further, turns, fresh: see `ctrobust.train.methods.minmax`;
    lambda_2: of the hinge, raised while G leaves the ball; steps_per_update: steps of G for one of f; optimizer,
    base_channels, levels, lr: G's own.
    pgd: ascent_steps. universal: steps_per_update steps of universal_step. groups: of samples that share one G or δ.
    Of a matrix G joins all numbers of y, which have no neighbours: `levels` layers, 32 base_channels wide.
    """

    eps: Positive = 0.02
    relative: bool = True
    ramp: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight: NotNegative = 1.0
    ball: Literal["project", "hinge"] = "project"
    lambda_2: Positive = 1.0e6
    sees: Literal["sinogram", "gradient", "last"] = "sinogram"
    applications: Count = 1
    first_look: Literal["random", "last"] = "random"
    further: bool = False
    turns: Literal["alternate", "together"] = "alternate"
    steps_per_update: Count = 1
    fresh: bool = False
    groups: Count = 1
    ascent_steps: Count = 10
    universal_step: Positive = 0.3
    optimizer: Literal["adam", "sgd"] = "adam"
    base_channels: Count = 16
    levels: Annotated[int, Field(ge=1, le=8)] = 4
    lr: Positive = 1.0e-3

    @model_validator(mode="after")
    def _what_goes_together(self) -> "ThreatRecipe":
        if self.turns == "together" and (self.ball == "hinge" or self.steps_per_update > 1 or self.fresh):
            raise ValueError("turns=together goes with ball=project, steps_per_update=1 and fresh=false")
        if self.further and (self.turns == "together" or self.ball == "hinge"):
            raise ValueError("further=true goes with turns=alternate and ball=project")
        if self.first_look == "last" and self.sees != "gradient":
            raise ValueError("first_look=last goes with sees=gradient")
        if "last" in (self.sees, self.first_look) and self.ball == "hinge":
            raise ValueError("what f met last goes with ball=project")
        if self.fresh and self.steps_per_update < 2:
            raise ValueError(
                "fresh=true goes with steps_per_update of 2 or more: G has to learn before f meets it"
            )
        return self


@dataclass(frozen=True, config=_frozen)
class RegularizeRecipe:
    """weight_decay: of the method of that name, times lr a step; parseval_beta: of the retraction."""

    weight_decay: NotNegative = 10.0
    parseval_beta: Annotated[float, Field(gt=0, le=0.5)] = 0.5


Control = Literal["fbp", "sirt", "cgls", "tv"]
ScannerFault = Literal[
    "angle_jitter",
    "centre_shift",
    "pixel_size",
    "gain_drift",
    "intensity_drift",
    "ring",
    "dead_channels",
]
AdversaryName = Literal[
    "momentum",
    "plain",
    "halving",
    "adam",
    "sphere",
    "ball",
    "universal",
    "transfer",
    "low_frequency",
    "local",
    "local_image",
    "image",
    "generator",
    ScannerFault,
]


@dataclass(frozen=True, config=_frozen)
class EvaluateRecipe:
    """The ascent that measures: radii, steps, restarts; slices: at most so many, spread over the patients;
    batch_size: so many attacked at once.

    budget: what eps measures. l2, linf: of ‖y‖ or of the largest reading (relative), or in mm of water; whitened:
    in standard deviations of the scan's photon noise, the d′ of an ideal observer. controls: attacked beside f; of a
    matrix fbp is its pseudo-inverse.
    adversaries: further ones, each at one radius; transfer takes its δ from the run transfer_from.
    examinations: what else is found out of f on a few slices, see `ctrobust.evaluate.examinations`; nodules: of its
    structures, the diameter in mm and the contrast in HU of each.
    examples: slices kept to be shown, chosen before anything is found; the worst 1 % are kept beside them (0: none).
    precision: of f while δ is searched for; errors are always measured in float32.
    allow_unmatched: attack through a back-end whose transpose is not exact, which understates the worst case; the
    result says so.
    """

    eps: tuple[NotNegative, ...] = (0.0, 0.005, 0.01, 0.02, 0.04)
    budget: Literal["l2", "linf", "whitened"] = "l2"
    relative: bool = True
    controls: tuple[Control, ...] = ("fbp",)
    adversaries: tuple[AdversaryName, ...] = ()
    transfer_from: str | None = None
    examinations: tuple[Literal["tiny", "structures", "views", "texture", "bracket"], ...] = ()
    nodules: tuple[tuple[Positive, Annotated[float, Field(allow_inf_nan=False)]], ...] = (
        (8.0, 100.0),
        (16.0, 50.0),
    )
    precision: Literal["fp32", "bf16"] = "fp32"
    steps: Count = 100
    restarts: Count = 3
    batch_size: Count = 8
    slices: Count | None = None
    examples: Annotated[int, Field(ge=0)] = 3
    allow_unmatched: bool = False

    @model_validator(mode="after")
    def _what_transfer_needs(self) -> "EvaluateRecipe":
        if "transfer" in self.adversaries and self.transfer_from is None:
            raise ValueError("the adversary transfer needs evaluate.transfer_from, the folder of another run")
        return self


@dataclass(frozen=True, config=_frozen)
class Recipe:
    """One training run, or one a method where `method` is a list. options: of a method that is not ours."""

    method: Annotated[str | tuple[str, ...], BeforeValidator(_known)] = "minmax"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataRecipe = DataRecipe()
    scan: ScanRecipe = ScanRecipe()
    network: NetworkRecipe = NetworkRecipe()
    train: TrainRecipe = TrainRecipe()
    threat: ThreatRecipe = ThreatRecipe()
    regularize: RegularizeRecipe = RegularizeRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whitened_needs_a_dose(self) -> "Recipe":
        if self.evaluate.budget == "whitened" and self.scan.photons is None:
            raise ValueError("evaluate.budget=whitened measures in photon noise: give scan.photons")
        return self

    @model_validator(mode="after")
    def _what_goes_with_a_matrix(self) -> "Recipe":
        of_a_scanner = ("local_image", *get_args(ScannerFault))
        faults = [name for name in self.evaluate.adversaries if name in of_a_scanner]
        if self.scan.dense and faults:
            raise ValueError(f"evaluate.adversaries: {faults[0]} is a scanner's; scan.geometry is a matrix")
        if self.scan.dense and "sirt" in self.evaluate.controls:
            raise ValueError(
                "evaluate.controls: sirt needs a matrix without negative entries; give cgls or tv"
            )
        examined = [name for name in self.evaluate.examinations if name != "bracket"]
        if (self.scan.dense or self.data.pictures) and examined:
            raise ValueError(
                f"evaluate.examinations: {examined[0]} is of CT slices and a scanner; leave it out"
            )
        if self.data.channels > 1 and not self.scan.dense:
            raise ValueError(
                f"data.pictures={self.data.pictures} is in colour, which no scanner sees: give scan.geometry="
                + ", ".join(DENSE)
            )
        if self.data.pictures and self.data.crop:
            raise ValueError("data.crop is of CT slices; pictures are taken as they are")
        return self
