"""Empirical risk minimisation: f meets clean measurements only."""

from ctrobust.train.methods.method import Method


class ERM(Method):
    """min_θ E ‖f_θ(y) − x‖²"""
