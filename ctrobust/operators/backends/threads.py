"""Threads for calls that release the interpreter lock; as many as torch uses."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Task = TypeVar("Task")


def count() -> int:
    return max(1, min(torch.get_num_threads(), os.cpu_count() or 1))


def each(call: Callable[[Task], object], tasks: Iterable[Task]) -> None:
    """Call it on every task, in no order; an error in one is raised here.

    The caller works too, and a thread that has not woken by the time nothing is left is not waited for: on a busy
    machine that takes longer than a small operator.
    """
    left = iter(tuple(tasks))

    def drain() -> None:
        for task in left:
            call(task)

    helpers = count() - 1
    others = [_pool(helpers).submit(drain) for _ in range(helpers)] if helpers else []
    drain()
    for other in others:
        if not other.cancel():
            other.result()


def parts(total: int, count: int) -> list[tuple[int, int]]:
    """Cut range(total) into about `count` equal pieces, as (from, to)."""
    count = max(1, min(total, count))
    return [(total * i // count, total * (i + 1) // count) for i in range(count)]


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="ctrobust")


# A forked child (a data loader's worker) has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
