"""How bad it can get: the worst case from below and from above."""

from ctrobust.bounds.bracket import Bound, bracket
from ctrobust.bounds.linear import WorstCase, worst_case_of_linear
from ctrobust.bounds.lipschitz import local_lipschitz_estimate, predicted_error
from ctrobust.bounds.norm import OperatorNorm, operator_norm
from ctrobust.bounds.product import network_lipschitz, product_bound

__all__ = [
    "Bound",
    "OperatorNorm",
    "WorstCase",
    "bracket",
    "local_lipschitz_estimate",
    "network_lipschitz",
    "operator_norm",
    "predicted_error",
    "product_bound",
    "worst_case_of_linear",
]
