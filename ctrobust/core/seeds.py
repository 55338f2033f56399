"""Randomness is an argument: a seed for every stage and index, so that order and resuming change nothing."""

import hashlib


def derive_seed(seed: int, *stage: str | int) -> int:
    """A 63-bit seed from the run's seed and the name of a stage: `derive_seed(0, "noise", sha256)`."""
    text = "/".join([str(seed), *map(str, stage)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
