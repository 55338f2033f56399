"""Paired comparisons against exact references, and the correction for making several."""

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from ctrobust.core.statistics import clustered_interval, interval
from ctrobust.report.paired import Paired, corrected, paired


def drawn(seed, patients=9, slices=40):
    noise = np.random.default_rng(seed)
    whose = noise.integers(0, patients, slices)
    whose[:patients] = range(patients)
    level = noise.gamma(4, 20, patients)[whose]
    errors = level * np.exp(0.2 * noise.standard_normal(slices))
    return errors, 0.9 * level * np.exp(0.2 * noise.standard_normal(slices)), [f"P{each}" for each in whose]


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_the_linearised_one_of_cluster_totals(seed):
    """Cochran 1977, ch. 11, written out patient by patient."""
    errors, others, patients = drawn(seed)
    gaps = errors - others
    totals = [
        sum(gap - gaps.mean() for gap, own in zip(gaps, patients, strict=True) if own == patient)
        for patient in set(patients)
    ]
    count = len(totals)
    spread = np.sqrt(count / (count - 1) * np.sum(np.square(totals))) / len(gaps)
    half = t.ppf(0.975, count - 1) * spread
    both = gaps.mean() - half, gaps.mean() + half
    found = interval(gaps, patients)
    assert found.both == pytest.approx(both, rel=1e-9)
    assert clustered_interval(gaps, patients) == found.both
    assert found.p == pytest.approx(2 * t.sf(abs(gaps.mean()) / spread, count - 1), rel=1e-9)


def test_one_slice_a_patient_is_the_paired_t_test():
    errors, others, _ = drawn(1)
    known = ttest_rel(errors, others)
    found = paired(errors, others, range(len(errors)))
    assert found.p == pytest.approx(known.pvalue, rel=1e-9)
    assert found.difference_ci95 == pytest.approx(tuple(known.confidence_interval()), rel=1e-9)


def test_pairing_finds_what_two_intervals_hide():
    """Patients differ far more than methods: the intervals overlap, the paired one excludes 0."""
    errors, others, patients = drawn(2)
    alone, other = clustered_interval(errors, patients), clustered_interval(others, patients)
    assert alone[0] < other[1]
    low, high = paired(errors, others, patients).difference_ci95
    assert 0 < low < high


def test_the_ratio_is_geometric_and_turns_over():
    errors, others, patients = drawn(3)
    one, back = paired(errors, others, patients), paired(others, errors, patients)
    assert one.ratio == pytest.approx(np.exp(np.mean(np.log(errors / others))))
    assert one.ratio * back.ratio == pytest.approx(1)
    assert one.ratio_ci95[0] * back.ratio_ci95[1] == pytest.approx(1)
    assert one.ratio_ci95[0] < one.ratio < one.ratio_ci95[1]
    assert paired(0 * errors, others, patients).ratio is None


def test_fewer_than_six_patients_get_a_reason_and_no_interval():
    errors, others, patients = drawn(4, patients=5)
    found = paired(errors, others, patients)
    assert (found.difference_ci95, found.ratio_ci95, found.p) == (None, None, None)
    assert "5 patients; an interval needs at least 6" in found.reason
    assert found.difference == pytest.approx((errors - others).mean())
    assert not found.significant


def test_the_same_method_twice_does_not_differ():
    errors, _, patients = drawn(5)
    same = paired(errors, errors, patients)
    assert (same.difference, same.p, same.ratio) == (0, 1, 1)
    assert paired(errors + 1, errors, patients).p < 1e-9


def test_what_does_not_pair_up_is_refused():
    with pytest.raises(ValueError, match="3, 2, 3 slices"):
        paired(np.ones(3), np.ones(2), "abc")


def one(p):
    return Paired(9, 9, 0.0, None, None, None, p)


def test_holm_by_hand():
    found = corrected([one(p) for p in (0.01, 0.04, None, 0.03, 0.005)])
    assert [each.p_holm for each in found] == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert [each.significant for each in found] == [True, False, False, False, True]
    assert [each.p_holm for each in corrected([one(0.9), one(0.8)])] == [1, 1]


def test_under_no_difference_five_percent_are_called_different():
    """Coverage with patients of unlike numbers of slices, three comparisons together."""
    noise = np.random.default_rng(0)
    false = 0
    for _ in range(600):
        whose = np.repeat(np.arange(12), noise.integers(2, 6, 12))
        trials = [noise.standard_normal(12)[whose] + noise.standard_normal(len(whose)) + 9 for _ in range(3)]
        base = 9 + np.zeros(len(whose))
        found = corrected([paired(each, base, whose.tolist()) for each in trials])
        false += any(each.significant for each in found)
    assert 0.02 < false / 600 < 0.085
