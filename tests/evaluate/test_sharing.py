"""Work over two processes: everyone has everything, in order; a process that ends is missed at once."""

import multiprocessing
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from ctrobust.core.errors import UserError
from ctrobust.evaluate.sharing import share_out


def square_and_who(number: int, rank: int) -> tuple[int, int]:
    return number**2, rank


def fail(rank: int) -> None:
    if rank == 1:
        raise SystemExit(3)


def take_part(rank: int, folder: Path) -> None:
    """One of two processes: five pieces; then two, of which the second's ends it."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    fabric = SimpleNamespace(global_rank=rank, world_size=2)
    work = [partial(square_and_who, number, rank) for number in range(5)]
    (folder / f"found-{rank}").write_text(repr(share_out(work, "squares", fabric)))
    try:
        share_out([partial(fail, rank)] * 2, "failing", fabric)
    except UserError as mistake:
        (folder / f"said-{rank}").write_text(str(mistake))


def test_two_processes_share_and_miss_one_another(tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    pair = [spawned.Process(target=take_part, args=(rank, tmp_path)) for rank in range(2)]
    began = time.monotonic()
    for process in pair:
        process.start()
    for process in pair:
        process.join(60)
    # Far from the seven days a slow process is given.
    assert time.monotonic() - began < 60
    assert [process.exitcode for process in pair] == [0, 3]
    everything = repr([(0, 0), (1, 1), (4, 0), (9, 1), (16, 0)])
    assert [(tmp_path / f"found-{rank}").read_text() for rank in range(2)] == [everything] * 2
    assert "another process has ended" in (tmp_path / "said-0").read_text()
    assert not (tmp_path / "said-1").exists()


def test_one_process_does_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert share_out([partial(square_and_who, number, 0) for number in range(3)], "squares") == [
        (0, 0),
        (1, 0),
        (4, 0),
    ]
    assert "squares: 3/3" in capsys.readouterr().err
