"""The training loop: at each step the adversary ascends, then f descends."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ctrobust.core.errors import UserError
from ctrobust.core.progress import Progress
from ctrobust.core.seeds import derive_seed
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint, save_checkpoint
from ctrobust.recipes.schema import TrainRecipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.store.dataset import SliceDataset
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import evaluating, exact_arithmetic, squared_error
from ctrobust.train.adversary import Adversary, Figures
from ctrobust.train.augment import random_flips
from ctrobust.train.history import History
from ctrobust.train.objectives import squared_errors
from ctrobust.train.schedule import batches, epoch_of, set_learning_rate

VALIDATION_SLICES = 24
VALIDATION_STEPS = 5
LOADING_PROCESSES = 2


@dataclass
class Training:
    """All that changes while f is trained; `state` is what a checkpoint holds."""

    f: LearnedReconstructor
    optimizer: torch.optim.Optimizer
    adversary: Adversary
    fabric: Fabric
    physics: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    wrapped: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.wrapped, self.optimizer = self.fabric.setup(self.f, self.optimizer)

    def state(self) -> dict[str, Any]:
        return {
            "physics": self.physics,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "network": self.f.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state_dict(),
        }

    def restore(self, content: dict[str, Any]) -> None:
        self.step, self.seconds, self.best = content["step"], content["seconds"], content["best"]
        self.f.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.adversary.load_state_dict(content["adversary"])


def fit(training: Training, experiment: Experiment, out: Path, *, weight: float, eps: float) -> None:
    """Train to the recipe's last step, from `out`/checkpoints/last where that exists.

    weight: λ₁ of the adversarial term; eps: the radius at which robustness is watched on the validation part.
    Raises UserError where a loss is not finite any more.
    """
    recipe, fabric = experiment.recipe, training.fabric
    settings = recipe.train
    if not experiment.split.val:
        raise UserError(
            "the split has no validation part to choose the best checkpoint on; split with --val 0.1"
        )
    last = out / "checkpoints" / "last"
    if last.exists():
        training.restore(load_checkpoint(last))
    history = History(out / "history.csv", keep_until=training.step, enabled=fabric.is_global_zero)
    loader, samples = _loader(experiment, settings, training)
    progress = Progress(
        loader,
        f"train {out.name}",
        total=settings.steps,
        start=training.step,
        enabled=fabric.is_global_zero,
    )
    began = time.monotonic() - training.seconds
    for x, indices in progress:
        done = training.step / settings.steps
        set_learning_rate(training.optimizer, settings.lr, done)
        training.adversary.begin(training.step, settings.steps)
        if done >= settings.freeze_norm:
            freeze_batch_norm(training.f)
        if settings.flips:
            first = (training.step * fabric.world_size + fabric.global_rank) * settings.batch_size
            x = random_flips(x, [derive_seed(recipe.seed, "flips", first + i) for i in range(len(x))])
        x = fabric.to_device(x)
        y = experiment.measure(x, indices.tolist())

        delta, figures = training.adversary(training.f, y, x)
        figures |= descend(training, y, x, delta, weight)

        training.step += 1
        training.seconds = time.monotonic() - began
        _require_finite(figures, training.step, indices.tolist())
        saving = training.step % settings.checkpoint_every == 0 or training.step == settings.steps
        if saving or training.step % settings.log_every == 0:
            figures |= {"clean_eval": _mean_error(training.f, y, x)}
            if saving:
                figures |= validate(training.f, experiment, eps)
            together = settings.batch_size * fabric.world_size
            history.add(
                step=training.step,
                epoch=epoch_of(samples, together, training.step),
                seconds=training.seconds,
                lr=training.optimizer.param_groups[0]["lr"],
                **figures,
            )
        progress.note(**{name: figures[name] for name in ("clean", "adversarial") if name in figures})
        if saving and fabric.is_global_zero:
            _save(training, out, figures, 0.0 if delta is None else weight)


def freeze_batch_norm(f: nn.Module) -> None:
    """From here on f is trained as it will be used and attacked: with fixed statistics.

    With batch statistics a perturbation that drives activations up is divided away by its own batch, so the
    descent never meets the instability that the fixed statistics have.
    """
    for module in f.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def descend(training: Training, y: Tensor, x: Tensor, delta: Tensor | None, weight: float) -> Figures:
    """The min over θ: one step of f on ‖f(y) − x‖² + λ₁ ‖f(y + δ) − x‖², both in one batch."""
    measured = y if delta is None else torch.cat([y, y + delta])
    errors = squared_errors(training.wrapped(measured), x if delta is None else torch.cat([x, x]))
    clean, adversarial = errors[: len(y)].mean(), errors[len(y) :].mean() if delta is not None else None
    loss = clean if adversarial is None else clean + weight * adversarial
    training.optimizer.zero_grad()
    training.fabric.backward(loss)
    training.optimizer.step()
    figures = {"clean": clean.item()}
    return figures if adversarial is None else figures | {"adversarial": adversarial.item()}


def validate(f: LearnedReconstructor, experiment: Experiment, eps: float) -> Figures:
    """Mean clean error and mean error under a short ascent, on at most 24 slices of the validation part."""
    part = experiment.split.val
    chosen = part[:: -(-len(part) // VALIDATION_SLICES)]
    y, x = experiment.pair(chosen)
    allowed = experiment.recipe.evaluate.allow_unmatched
    attack = ProjectedGradientAscent(L2Ball(eps), steps=VALIDATION_STEPS, restarts=1, allow_unmatched=allowed)
    with exact_arithmetic():
        attacked = [y[i : i + 8] + attack(f, y[i : i + 8], x[i : i + 8]) for i in range(0, len(y), 8)]
        return {
            "val_clean": _mean_error(f, y, x),
            "val_adversarial": _mean_error(f, torch.cat(attacked), x),
        }


@torch.no_grad()
def _mean_error(f: LearnedReconstructor, y: Tensor, x: Tensor) -> float:
    """In eval mode and float32, as f will be used."""
    with evaluating(f):
        errors = [squared_error(f, y[i : i + 8], x[i : i + 8]) for i in range(0, len(y), 8)]
    return float(torch.cat(errors).mean())


def _loader(experiment: Experiment, settings: TrainRecipe, training: Training) -> tuple[DataLoader[Any], int]:
    dataset: SliceDataset = experiment.slices(experiment.split.train)
    order = batches(
        len(dataset),
        settings.batch_size,
        range(training.step, settings.steps),
        seed=derive_seed(experiment.recipe.seed, "order"),
        rank=training.fabric.global_rank,
        processes=training.fabric.world_size,
    )
    workers = 0 if dataset.in_memory else LOADING_PROCESSES
    # A plain list: torch asks a batch sampler for nothing but its batches.
    return DataLoader(dataset, batch_sampler=list(order), num_workers=workers), len(dataset)


def _require_finite(figures: Figures, step: int, indices: list[int]) -> None:
    bad = [name for name, value in figures.items() if value != value or abs(value) == float("inf")]
    if bad:
        raise UserError(
            f"step {step}: {', '.join(bad)} is not a finite number (slices {indices}); lower train.lr, or take "
            "train.precision=fp32; the last checkpoint is from before"
        )


def _save(training: Training, out: Path, figures: Figures, weight: float) -> None:
    """`best` is chosen on the validation part: the least log(clean error) + λ₁ · log(error under attack).

    That is clean PSNR plus λ₁ × attacked PSNR; λ₁ is 0 for a method without an adversary.
    """
    score = math.log(figures["val_clean"])
    if weight:
        score += weight * math.log(figures["val_adversarial"])
    best = out / "checkpoints" / "best"
    if score < training.best or not best.exists():
        training.best = score
        save_checkpoint(best, training.state())
    save_checkpoint(out / "checkpoints" / "last", training.state())
