"""The training loop: at each step the method perturbs, f descends, the method constrains."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader

from ctrobust.core.errors import UserError
from ctrobust.core.progress import Progress, say
from ctrobust.core.seeds import derive_seed
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint, save_checkpoint
from ctrobust.recipes.schema import TrainRecipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball
from ctrobust.threat.ascent import evaluating, squared_error
from ctrobust.train.augment import random_flips, sample_seeds
from ctrobust.train.failing import in_plain_words, require_finite
from ctrobust.train.history import History
from ctrobust.train.interruption import Interruption
from ctrobust.train.methods.method import Figures, Method
from ctrobust.train.objectives import squared_errors
from ctrobust.train.schedule import batches, epoch_of, learning_rate, set_learning_rate
from ctrobust.train.validation import validate
from ctrobust.train.watching import Watching

LOADING_PROCESSES = 2


@dataclass
class Training:
    """All that changes while f is trained; `state` is what a checkpoint holds."""

    f: LearnedReconstructor
    optimizer: torch.optim.Optimizer
    method: Method
    fabric: Fabric
    physics: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    waited: int = 0
    wrapped: Any = field(init=False)

    def __post_init__(self) -> None:
        self.wrapped, self.optimizer = self.fabric.setup(self.f, self.optimizer)

    def state(self) -> dict[str, Any]:
        return {
            "physics": self.physics,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "waited": self.waited,
            "network": self.f.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.method.state_dict(),
        }

    def restore(self, path: Path) -> None:
        """Go on from that checkpoint. Raises UserError where it is of another f, G or optimiser than ours."""
        content, part = load_checkpoint(path), "step"
        try:
            self.step, self.seconds, self.best = content["step"], content["seconds"], content["best"]
            self.waited = content.get("waited", 0)
            for part, ours in (
                ("network", self.f.network),
                ("optimizer", self.optimizer),
                ("adversary", self.method),
            ):
                ours.load_state_dict(content[part])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else shorten(str(error), 300)
            raise UserError(
                f"{path}: its {part} is not what this recipe makes ({why}); go on with the version of ctrobust that "
                "wrote it, or start anew with another --out"
            ) from None


def fit(training: Training, experiment: Experiment, out: Path) -> None:
    """Train to the recipe's last step, from `out`/checkpoints/last where that exists.

    Raises UserError where a loss is not finite any more or memory runs out; KeyboardInterrupt or SystemExit once a
    signal has been answered by a checkpoint.
    """
    recipe, fabric = experiment.recipe, training.fabric
    settings = recipe.train
    if not experiment.split.val:
        raise UserError(
            "the split has no validation part to choose the best checkpoint on; split with --val 0.1"
        )
    last = out / "checkpoints" / "last"
    if last.exists():
        training.restore(last)
    if training.step >= settings.steps or _waited_enough(training, settings):
        return
    loader, samples = _loader(experiment, settings, training)
    progress = Progress(
        loader,
        f"train {out.name}",
        total=settings.steps,
        start=training.step,
        enabled=fabric.is_global_zero,
    )
    began = time.monotonic() - training.seconds
    together = settings.batch_size * fabric.world_size
    with Interruption(fabric) as asked, _log(training, experiment, out) as log:
        for x, indices in progress:
            done = training.step / settings.steps
            set_learning_rate(training.optimizer, learning_rate(settings, done))
            training.method.begin(training.step, settings.steps)
            if done >= settings.freeze_norm:
                freeze_batch_norm(training.f)
            x = fabric.to_device(_flipped(x, training, experiment))
            step, slices = training.step + 1, indices.tolist()
            judging = step % settings.checkpoint_every == 0 or step == settings.steps
            logging = judging or step % settings.log_every == 0
            with in_plain_words(step, slices):
                y = experiment.measure(x, slices)
                figures = take_step(training, y, x, _positions(experiment, indices))
                stop = asked()
                if logging or stop:
                    figures |= {"clean_eval": _mean_error(training.f, y, x)}
                if judging:
                    figures |= validate(training.f, training.method, experiment, fabric)
                # Before anything is saved: a loss may be finite whose update has left no finite weight.
                require_finite(figures, y, training.state() if judging or stop else {})
            training.step, training.seconds = step, time.monotonic() - began

            better = judging and _better(training, figures, recipe.threat.weight)
            if logging:
                log(figures | {"epoch": epoch_of(samples, together, step)})
            progress.note(**{name: figures[name] for name in ("clean", "adversarial") if name in figures})
            # Between two checkpoints a run is kept but not judged, so that stopping it changes nothing.
            if judging or stop:
                _keep(training, out, better)
            if stop:
                break
            if judging and _waited_enough(training, settings):
                say(f"stopped at step {training.step}: not better for {settings.patience} checkpoints")
                break
        if asked():
            asked.end()


def take_step(training: Training, y: Tensor, x: Tensor, samples: Tensor) -> Figures:
    """The max, the min, and the method's constraint: one step; passes through f in `train.accumulate` parts."""
    settings, method = training.method.recipe.train, training.method
    training.optimizer.zero_grad()
    delta, figures = method.perturb(training.f, y, x, samples)
    parts = list(method.parts(y, x) if delta is None else method.parts(y, x, delta))
    found: list[Figures] = []
    for number, part in enumerate(parts, 1):
        share = len(part[0]) / len(y)
        with training.fabric.no_backward_sync(training.wrapped, enabled=number < len(parts)):
            found.append(
                {name: share * value for name, value in descend(training, *part, share=share).items()}
            )
    figures = figures | {name: sum(part[name] for part in found) for name in found[0]}
    before = [weight.detach().clone() for weight in training.f.parameters()] if settings.clip_update else []
    training.optimizer.step()
    if settings.clip_update:
        _clip_update(training, before, settings.clip_update)
    figures |= method.constrain(training.f, training.optimizer.param_groups[0]["lr"])
    _share_statistics(training.f, training.fabric)
    return figures


def descend(
    training: Training, y: Tensor, x: Tensor, delta: Tensor | None = None, *, share: float
) -> Figures:
    """The min over θ: the gradient of ‖f(y) − x‖² + λ₁ ‖f(y + δ) − x‖², both in one batch."""
    measured = y if delta is None else torch.cat([y, y + delta])
    errors = squared_errors(training.wrapped(measured), x if delta is None else torch.cat([x, x]))
    clean = errors[: len(y)].mean()
    if delta is None:
        training.fabric.backward(share * clean)
        return {"clean": clean.item()}
    adversarial, threat = errors[len(y) :].mean(), training.method.recipe.threat
    training.fabric.backward(share * (clean + threat.weight * adversarial))
    size = L2Ball(threat.eps, threat.relative).size(delta.detach(), y).mean()
    return {"clean": clean.item(), "adversarial": adversarial.item(), "delta_rel": float(size)}


def freeze_batch_norm(f: nn.Module) -> None:
    """From here on f is trained as it will be used and attacked: with fixed statistics.

    With batch statistics a perturbation that drives activations up is divided away by its own batch, so the
    descent never meets the instability that the fixed statistics have.
    """
    for module in f.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _share_statistics(f: nn.Module, fabric: Fabric) -> None:
    """On CPUs batch norm sees the batch of its own process: the first one's statistics are all's.

    At every step, so that all adversaries meet the same f, and a checkpoint holds all there is to resume from.
    """
    statistics = [buffer for buffer in f.buffers() if buffer.is_floating_point()]
    if fabric.world_size > 1 and fabric.device.type == "cpu" and statistics:
        vector_to_parameters(fabric.broadcast(parameters_to_vector(statistics)), statistics)


@torch.no_grad()
def _clip_update(training: Training, before: list[Tensor], limit: float) -> None:
    for weight, earlier in zip(training.f.parameters(), before, strict=True):
        weight.copy_(earlier + (weight - earlier).clamp(-limit, limit))


def _flipped(x: Tensor, training: Training, experiment: Experiment) -> Tensor:
    if not experiment.recipe.train.flips:
        return x
    return random_flips(x, _seeds(training, experiment, "flips", training.step))


def _seeds(training: Training, experiment: Experiment, stage: str, step: int) -> list[int]:
    recipe, fabric = experiment.recipe, training.fabric
    return sample_seeds(
        recipe.seed,
        stage,
        step,
        recipe.train.batch_size,
        rank=fabric.global_rank,
        processes=fabric.world_size,
    )


def _positions(experiment: Experiment, indices: Tensor) -> Tensor:
    """Slices of the store as positions in the training part: groups of samples stay the same in any store."""
    return torch.searchsorted(torch.tensor(sorted(experiment.split.train)), indices)


@torch.no_grad()
def _mean_error(f: LearnedReconstructor, y: Tensor, x: Tensor) -> float:
    """In eval mode and float32, as f will be used."""
    with evaluating(f):
        return float(squared_error(f, y, x).mean())


def _loader(experiment: Experiment, settings: TrainRecipe, training: Training) -> tuple[DataLoader[Any], int]:
    dataset = experiment.slices(experiment.split.train)
    steps, crop = range(training.step, settings.steps), experiment.recipe.data.crop
    order: Iterable[list[Any]] = batches(
        len(dataset),
        settings.batch_size,
        steps,
        seed=derive_seed(experiment.recipe.seed, "order"),
        rank=training.fabric.global_rank,
        processes=training.fabric.world_size,
    )
    if crop:
        order = (
            list(zip(batch, _seeds(training, experiment, "crops", step), strict=True))
            for step, batch in zip(steps, order, strict=True)
        )
    # A crop is read anew each time.
    workers = 0 if dataset.in_memory and not crop else LOADING_PROCESSES
    # A plain list: torch asks a batch sampler for nothing but its batches.
    return DataLoader(dataset, batch_sampler=list(order), num_workers=workers), len(dataset)


@contextmanager
def _log(training: Training, experiment: Experiment, out: Path) -> Iterator[Any]:
    """log(figures): a row of history.csv, and the same to all who watch; on the first process."""
    enabled = training.fabric.is_global_zero
    history = History(
        out / "history.csv", keep_until=training.step, further=training.method.figures, enabled=enabled
    )
    watching = Watching(experiment.recipe, out, training.step) if enabled else None

    def log(figures: Figures) -> None:
        figures = figures | {"lr": training.optimizer.param_groups[0]["lr"], "seconds": training.seconds}
        history.add(step=training.step, **figures)
        if watching:
            watching.add(training.step, figures)

    try:
        yield log
    finally:
        if watching:
            watching.close()


def _better(training: Training, figures: Figures, weight: float) -> bool:
    """Whether f is the best so far on the validation part: the least log(clean error) + λ₁ · log(error under attack).

    That is clean PSNR plus λ₁ × attacked PSNR; λ₁ is 0 for a method whose f meets no perturbations.
    """
    score = math.log(figures["val_clean"])
    if "adversarial" in figures:
        score += weight * math.log(figures["val_adversarial"])
    better = score < training.best
    training.best, training.waited = min(score, training.best), 0 if better else training.waited + 1
    return better


def _keep(training: Training, out: Path, better: bool) -> None:
    """`last`, and `best` where it is, or where there is none yet."""
    if not training.fabric.is_global_zero:
        return
    best = out / "checkpoints" / "best"
    if better or not best.exists():
        save_checkpoint(best, training.state())
    save_checkpoint(out / "checkpoints" / "last", training.state())


def _waited_enough(training: Training, settings: TrainRecipe) -> bool:
    return settings.patience is not None and training.waited >= settings.patience
