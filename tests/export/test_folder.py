"""A new folder is complete or absent."""

import os

import pytest

from ctrobust.export import new_folder


def test_it_appears_once_complete_with_the_users_mode(tmp_path) -> None:
    old = os.umask(0o027)
    try:
        with new_folder(tmp_path / "deep" / "out") as part:
            (part / "a").write_text("a")
            assert not (tmp_path / "deep" / "out").exists()
    finally:
        os.umask(old)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "a"
    assert (tmp_path / "deep" / "out").stat().st_mode & 0o777 == 0o750


def _write(out, after) -> None:
    with new_folder(out) as part:
        (part / "a").write_text("ours")
        after()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind(tmp_path, error) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        _write(tmp_path / "out", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_came_in_between_is_not_overwritten(tmp_path) -> None:
    def come_in_between() -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("theirs")

    with pytest.raises(OSError, match="not empty"):
        _write(tmp_path / "out", come_in_between)
    assert (tmp_path / "out" / "a").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
