"""New UIDs: valid, the same for the same content, never the same for another."""

import uuid

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from ctrobust.export.uids import derive_uid, is_uid

PARTS = st.lists(st.text(st.characters(), max_size=5), max_size=4)


@given(st.binary(max_size=40), PARTS)
def test_valid_and_a_uuid_that_says_how_it_was_made(key, parts) -> None:
    uid = derive_uid(key, *parts)
    assert UID(uid).is_valid
    assert len(uid) <= 64
    made = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert made.variant == uuid.RFC_4122
    assert made.version == 8


@given(PARTS, PARTS)
def test_the_same_for_the_same_alone(one, other) -> None:
    assert (derive_uid(b"key", *one) == derive_uid(b"key", *other)) == (one == other)


def test_parts_are_not_run_together_and_the_key_counts() -> None:
    assert derive_uid(b"", "ab", "c") != derive_uid(b"", "a", "bc")
    assert derive_uid(b"one", "a") != derive_uid(b"two", "a")
    assert derive_uid(b"", "\udcff") != derive_uid(b"", "\udcfe")


def test_what_is_a_uid() -> None:
    assert is_uid("1.2.840.10008.1.1")
    assert not any(map(is_uid, ("", None, "1..2", "1.02", "Doe^Jane", "1." + "2" * 63, 12)))
