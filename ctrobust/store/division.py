"""Which slices train, which select, which judge: drawn from a seed, whole patients wherever it matters.

Draws are hashes of the seed and an index, so that a seed means the same on every machine and version.
"""

from collections.abc import Iterable, Sequence

from ctrobust.core.errors import UserError
from ctrobust.core.seeds import derive_seed

Slices = list[int]

DRAWS = 64
"""Shuffles tried; the first of the best counts."""

LONELY = 0.05
"""Share of all slices by which a part may miss its size to hold a second patient rather than one."""

MOST_VAL = 2.0
"""Whole patients validate while they are at most this many times the slices asked for."""


def divide_by_slice(
    strata: Sequence[str], eval_fraction: float, val_fraction: float, seed: int
) -> tuple[Slices, Slices, Slices]:
    """(train, val, eval) of slices, each drawn at random by itself: the paper's protocol.

    strata: a name for every slice; of the slices of one name `eval` takes its share, so far as whole slices allow.
    Raises UserError where a part would be empty.
    """
    judged = _draw_by_stratum(strata, eval_fraction, seed)
    rest = sorted(set(range(len(strata))) - set(judged))
    return *_select(rest, val_fraction, seed), judged


def _draw_by_stratum(strata: Sequence[str], fraction: float, seed: int) -> Slices:
    """As many in all as without strata: what rounding leaves of each share is settled along the strata."""
    members: dict[str, Slices] = {}
    for index, name in enumerate(strata):
        members.setdefault(name, []).append(index)
    judged: Slices = []
    seen = 0
    for indices in members.values():
        seen += len(indices)
        shuffled = sorted(indices, key=lambda i: derive_seed(seed, "eval", i))
        judged += shuffled[: max(0, round(fraction * seen) - len(judged))]
    return sorted(judged or _draw(range(len(strata)), fraction, seed, "eval"))


def divide_by_patient(
    patients: Sequence[str], eval_fraction: float, val_fraction: float, seed: int
) -> tuple[Slices, Slices, Slices]:
    """(train, val, eval) of the slices of `patients` (one entry a slice); no patient of `eval` is in another part.

    `eval` comes as near to its share of the slices as whole patients allow, two or more where that costs
    little. `val` is made of whole patients too while they come to at most twice its share; otherwise of
    slices of the training patients. Raises UserError where there are too few.
    """
    groups = _by_patient(patients)
    if len(groups) < 2:
        raise UserError(
            "one patient alone cannot be divided by patient; ingest more patients or give --by slice"
        )
    judged, rest = _part(groups, eval_fraction * len(patients), seed, "eval")
    return *_select_by_patient(rest, val_fraction, seed), _joined(judged)


def divide_into_folds(
    patients: Sequence[str], count: int, val_fraction: float, seed: int
) -> list[tuple[Slices, Slices, Slices]]:
    """`count` times (train, val, eval): every patient is in `eval` once, as many patients in each as can be.

    Dealt out from the one with the most slices to the one with the fewest, back and forth, so that no `eval` gets all
    large ones. `val` as in `divide_by_patient`. Raises UserError where there are fewer patients than folds.
    """
    groups = _by_patient(patients)
    if not 2 <= count <= len(groups):
        raise UserError(f"--folds {count}: {len(groups)} patients are in the store; give 2 to {len(groups)}")
    dealt = sorted(range(len(groups)), key=lambda i: (-len(groups[i]), derive_seed(seed, "fold", i)))
    fold_of = {
        i: min(place % (2 * count), -1 - place % (2 * count) + 2 * count) for place, i in enumerate(dealt)
    }
    folds = []
    for fold in range(count):
        rest = [group for i, group in enumerate(groups) if fold_of[i] != fold]
        judged = [group for i, group in enumerate(groups) if fold_of[i] == fold]
        folds.append((*_select_by_patient(rest, val_fraction, seed), _joined(judged)))
    return folds


def _by_patient(patients: Sequence[str]) -> list[Slices]:
    slices_of: dict[str, Slices] = {}
    for index, patient in enumerate(patients):
        slices_of.setdefault(patient, []).append(index)
    return list(slices_of.values())


def _select_by_patient(rest: list[Slices], val_fraction: float, seed: int) -> tuple[Slices, Slices]:
    """(train, val) of the patients that do not judge."""
    training = _joined(rest)
    wanted = val_fraction * len(training)
    if wanted and len(rest) > 1:
        selecting, train = _part(rest, wanted, seed, "val")
        if len(_joined(selecting)) <= MOST_VAL * wanted:
            return _joined(train), _joined(selecting)
    return _select(training, val_fraction, seed)


def _part(groups: list[Slices], target: float, seed: int, stage: str) -> tuple[list[Slices], list[Slices]]:
    """Whole groups that come nearest to `target` slices, and the others; at least one in each."""
    total = sum(map(len, groups))

    def miss(part: frozenset[int]) -> float:
        lonely = len(part) == 1 and len(groups) > 2
        return abs(sum(len(groups[i]) for i in part) - target) + lonely * LONELY * total

    part = min((_greedy(groups, target, seed, stage, draw) for draw in range(DRAWS)), key=miss)
    return (
        [group for i, group in enumerate(groups) if i in part],
        [group for i, group in enumerate(groups) if i not in part],
    )


def _greedy(groups: list[Slices], target: float, seed: int, stage: str, draw: int) -> frozenset[int]:
    """Shuffled groups, each taken where it brings the number of slices nearer to `target`."""
    shuffled = sorted(range(len(groups)), key=lambda i: derive_seed(seed, stage, draw, i))
    part: list[int] = []
    reached = 0
    for i in shuffled:
        nearer = abs(reached + len(groups[i]) - target) < abs(reached - target)
        if nearer and len(part) < len(groups) - 1:
            part.append(i)
            reached += len(groups[i])
    return frozenset(part or [min(shuffled, key=lambda i: len(groups[i]))])


def _select(training: Slices, val_fraction: float, seed: int) -> tuple[Slices, Slices]:
    """(train, val) by slice."""
    val = _draw(training, val_fraction, seed, "val") if val_fraction else []
    train = sorted(set(training) - set(val))
    if not train:
        raise UserError(
            f"{len(training)} slices are left for training, too few to set some aside for validation; "
            "give a smaller --eval, or ingest more slices"
        )
    return train, val


def _draw(indices: Iterable[int], fraction: float, seed: int, stage: str) -> Slices:
    shuffled = sorted(indices, key=lambda i: derive_seed(seed, stage, i))
    return sorted(shuffled[: max(1, round(fraction * len(shuffled)))])


def _joined(groups: list[Slices]) -> Slices:
    return sorted(index for group in groups for index in group)
