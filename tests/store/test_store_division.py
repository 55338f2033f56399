"""Who trains and who judges: properties that hold for any store, fraction and seed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrobust.core.errors import UserError
from ctrobust.store.division import divide_by_patient, divide_by_slice, divide_into_folds

FRACTIONS = st.floats(0.02, 0.9)
REAL = [40, 24, 16, 2, 2, 2, 2, 2, 2]


def patients_of(sizes):
    return [f"p{i}" for i, size in enumerate(sizes) for _ in range(size)]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=12),
    fraction=FRACTIONS,
    val=st.floats(0, 0.5),
    seed=st.integers(0, 9),
)
def test_by_patient(sizes, fraction, val, seed):
    patients = patients_of(sizes)
    train, selecting, judged = divide_by_patient(patients, fraction, val, seed)
    assert sorted(train + selecting + judged) == list(range(len(patients)))
    assert train
    assert judged
    assert bool(selecting) == (val > 0)
    assert not {patients[i] for i in judged} & {patients[i] for i in train + selecting}
    assert divide_by_patient(patients, fraction, val, seed) == (train, selecting, judged)
    # No worse than the largest patient, who has to go somewhere.
    assert abs(len(judged) - fraction * len(patients)) <= max(sizes)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=12),
    count=st.integers(2, 12),
    val=st.floats(0, 0.5),
    seed=st.integers(0, 9),
)
def test_folds_judge_every_patient_once(sizes, count, val, seed):
    patients, count = patients_of(sizes), min(count, len(sizes))
    folds = divide_into_folds(patients, count, val, seed)
    assert sorted(index for _, _, judged in folds for index in judged) == list(range(len(patients)))
    numbers = [len({patients[i] for i in judged}) for _, _, judged in folds]
    assert max(numbers) - min(numbers) <= 1
    for train, selecting, judged in folds:
        assert sorted(train + selecting + judged) == list(range(len(patients)))
        assert train
        assert not {patients[i] for i in judged} & {patients[i] for i in train + selecting}
    # The largest patients are apart.
    largest = sorted(
        (max(patients.count(patients[i]) for i in judged) for _, _, judged in folds), reverse=True
    )
    assert largest == sorted(sizes, reverse=True)[:count]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(10, 200), fraction=st.floats(0.02, 0.7), val=st.floats(0, 0.5), seed=st.integers(0, 9)
)
def test_by_slice(count, fraction, val, seed):
    train, selecting, judged = divide_by_slice(("all",) * count, fraction, val, seed)
    assert sorted(train + selecting + judged) == list(range(count))
    assert train
    assert abs(len(judged) - fraction * count) <= 1
    assert bool(selecting) == (val > 0)
    assert abs(len(selecting) - val * (count - len(judged))) <= 1
    assert divide_by_slice(("all",) * count, fraction, val, seed) == (train, selecting, judged)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25, 0.33, 0.5])
def test_the_real_patients_are_divided_well(seed, fraction):
    """Nine patients of 40, 24, 16 and six times 2 slices: near the fraction, and never one patient alone."""
    patients = patients_of(REAL)
    train, _, judged = divide_by_patient(patients, fraction, 0.1, seed)
    assert abs(len(judged) - fraction * len(patients)) <= 3
    assert len({patients[i] for i in judged}) > 1
    assert len({patients[i] for i in train}) >= 1


@pytest.mark.parametrize("by_patient", [True, False])
def test_another_seed_draws_others(by_patient):
    patients = patients_of([5] * 20)
    draws = Counter()
    for seed in range(20):
        divide = (
            divide_by_patient(patients, 0.25, 0.1, seed)
            if by_patient
            else divide_by_slice(("all",) * 100, 0.25, 0.1, seed)
        )
        draws.update(divide[2])
    assert len(draws) > 90, "some slices are never drawn"
    assert max(draws.values()) < 15, "some slices are nearly always drawn"


@pytest.mark.parametrize("sizes", [[2, 2], [5, 3], [9, 2, 2]])
def test_however_large_the_share_somebody_trains(sizes):
    assert divide_by_patient(patients_of(sizes), 0.99, 0, 0)[0]


def test_validation_by_whole_patients_where_there_are_enough():
    patients = patients_of([5] * 20)
    train, selecting, _ = divide_by_patient(patients, 0.25, 0.1, 0)
    assert not {patients[i] for i in train} & {patients[i] for i in selecting}


def test_validation_by_slice_where_a_whole_patient_is_too_many():
    patients = patients_of([20, 20, 20])
    train, selecting, _ = divide_by_patient(patients, 0.33, 0.1, 0)
    assert len(selecting) == 4
    assert {patients[i] for i in selecting} <= {patients[i] for i in train}


def test_too_few_names_the_cure():
    with pytest.raises(UserError, match="--by slice"):
        divide_by_patient(["p"] * 5, 0.25, 0.1, 0)
    with pytest.raises(UserError, match="smaller --eval"):
        divide_by_patient(["p", "q"], 0.25, 0.1, 0)
    assert divide_by_patient(["p", "q"], 0.25, 0, 0)[1] == []
    with pytest.raises(UserError, match="smaller --eval"):
        divide_by_slice(("all",) * 2, 0.5, 0.1, 0)


@given(st.lists(st.integers(0, 4), min_size=8, max_size=60), st.floats(0.1, 0.6), st.integers(0, 99))
def test_strata_give_their_share(strata, fraction, seed):
    """Within a slice of it, and in all as many as without strata."""
    names = [str(name) for name in strata]
    plain = divide_by_slice(("all",) * len(names), fraction, 0.1, seed)[2]
    judged = divide_by_slice(names, fraction, 0.1, seed)[2]
    assert abs(len(judged) - len(plain)) <= 1
    for name in set(names):
        share = sum(names[i] == name for i in judged)
        assert abs(share - fraction * names.count(name)) <= 1 + 1e-9
