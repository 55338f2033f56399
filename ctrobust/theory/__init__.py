"""Exact results for linear reconstruction; `theory.training`, which needs torch, trains one to be held against them."""

from ctrobust.theory.barrier import PerSampleOptimum, per_sample_filter
from ctrobust.theory.filters import minmax_filter, pseudo_inverse_filter, tikhonov_filter, truncated_filter
from ctrobust.theory.per_sample import gaussian_coefficients, per_sample_errors, per_sample_objective
from ctrobust.theory.risk import clean_risk, objective, worst_risk
from ctrobust.theory.spectrum import reconstruction_matrix
from ctrobust.theory.tradeoff import TradeOff, trade_off
from ctrobust.theory.worst_case import worst_perturbation

__all__ = [
    "PerSampleOptimum",
    "TradeOff",
    "clean_risk",
    "gaussian_coefficients",
    "minmax_filter",
    "objective",
    "per_sample_errors",
    "per_sample_filter",
    "per_sample_objective",
    "pseudo_inverse_filter",
    "reconstruction_matrix",
    "tikhonov_filter",
    "trade_off",
    "truncated_filter",
    "worst_perturbation",
    "worst_risk",
]
