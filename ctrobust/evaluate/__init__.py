"""Judging a reconstructor: clean quality, and the worst case an independent attack finds."""

from ctrobust.evaluate.curve import robustness_curve

__all__ = ["robustness_curve"]
