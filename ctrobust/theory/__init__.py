"""Closed forms for linear reconstruction."""

from ctrobust.theory.worst_case import worst_perturbation

__all__ = ["worst_perturbation"]
