"""Pseudonyms: the same under the same key, unguessable without it."""

import re
import threading

import pytest

from ctrobust.core.errors import UserError
from ctrobust.ingest import Pseudonyms


def test_the_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "new" / "pseudonym.key"
    first = Pseudonyms.from_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert Pseudonyms.from_file(path) == first
    assert list(path.parent.iterdir()) == [path]


def test_all_who_start_together_share_one_key(tmp_path):
    keys = []
    threads = [
        threading.Thread(target=lambda: keys.append(Pseudonyms.from_file(tmp_path / "key"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len({pseudonyms.key for pseudonyms in keys}) == 1


def test_names_are_keyed_and_say_their_kind():
    one, other = Pseudonyms(bytes(32)), Pseudonyms(bytes(range(32)))
    assert re.fullmatch("p-[0-9a-f]{12}", one.patient("A"))
    assert re.fullmatch("s-[0-9a-f]{12}", one.series("A"))
    assert one.patient("A") == one.patient("A") != other.patient("A")
    assert one.patient("A")[2:] != one.series("A")[2:]
    assert one.patient("\udcff") != one.patient("\udcfe")


def test_the_key_does_not_show():
    assert repr(bytes(range(32))) not in repr(Pseudonyms(bytes(range(32))))


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_what_is_no_key_is_refused(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UserError, match="not a key"):
        Pseudonyms.from_file(tmp_path / "key")


def test_a_key_that_cannot_be_made_names_the_cure(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--key FILE"):
        Pseudonyms.from_file(tmp_path / "file" / "key")
