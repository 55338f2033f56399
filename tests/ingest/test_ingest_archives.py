"""Slices inside archives: each member accounted for, none unpacked beside anybody, no bomb gone off."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from dicom_files import SIZE, content_of, ct

from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms, Refused, archives, find_files, read_slices, scan, spool

PSEUDONYMS = Pseudonyms(bytes(32))


def slices(count=3):
    """{name: bytes} of slices of one series."""
    return {f"in/{z}.dcm": content_of(ct(ImagePositionPatient=[0, 0, z])) for z in range(count)}


def zipped(members, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        archive.mkdir("in")
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(members, kind=""):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{kind}") as archive:
        folder = tarfile.TarInfo("in")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def outcomes(folder):
    found = find_files([folder])
    headers = scan(found.files)
    everything = [*found.refused, *headers.refused, *read_slices(headers, PSEUDONYMS)]
    taken = [entry for entry in everything if isinstance(entry, SliceRecord)]
    return taken, {
        str(entry.path.relative_to(folder)): entry for entry in everything if isinstance(entry, Refused)
    }


PACK = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda members: tarred(members, "gz"),
    "tar.bz2": lambda members: tarred(members, "bz2"),
    "tar.xz": lambda members: tarred(members, "xz"),
}


@pytest.mark.parametrize("kind", PACK)
def test_members_are_slices_by_their_own_hash_and_refused_by_their_own_name(tmp_path, kind):
    members = {**slices(), "in/notes.txt": b"plain text", "DICOMDIR": b""}
    (tmp_path / "without extension").write_bytes(PACK[kind](members))
    taken, refused = outcomes(tmp_path)
    digests = [sha256(content).hexdigest() for content in members.values()]
    assert [record.source_sha256 for record in taken] == digests[:3]
    assert set(refused) == {"without extension!in/notes.txt", "without extension!DICOMDIR"}
    assert refused["without extension!in/notes.txt"].sha256 == digests[3]


@pytest.mark.parametrize("kind", PACK)
def test_nothing_is_written_where_others_could_see_it(tmp_path, monkeypatch, kind):
    """Not in the folder, not in the folder for temporary files, while slices are being read."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(PACK[kind](slices()))
    found = find_files([tmp_path / "in"])
    count = 0
    for record in read_slices(scan(found.files), PSEUDONYMS):
        assert isinstance(record, SliceRecord)
        assert list(scratch.iterdir()) == []
        assert list((tmp_path / "in").iterdir()) == [tmp_path / "in" / "a"]
        count += 1
    assert count == 3


def test_archives_in_archives_to_a_stated_depth(tmp_path):
    content = zipped(slices(1))
    for depth in range(4):
        (tmp_path / str(depth)).mkdir()
        (tmp_path / str(depth) / "a").write_bytes(content)
        content = tarred({"inner": content}, "gz") if depth % 2 else zipped({"inner": content})
    assert [len(outcomes(tmp_path / str(depth))[0]) for depth in range(4)] == [1, 1, 1, 0]
    _, refused = outcomes(tmp_path / "3")
    assert [entry.reason.split(":")[0] for entry in refused.values()] == [
        "archives within archives within archives"
    ]


def test_names_are_never_paths(tmp_path):
    """Zip slips are read like any other member, and nothing appears where they point."""
    slip = {"../../slip.dcm": slices(1)["in/0.dcm"], "/tmp/slip.txt": b"x"}
    for kind, pack in PACK.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a").write_bytes(pack(slip))
        before = sorted(tmp_path.rglob("*"))
        taken, refused = outcomes(tmp_path / kind)
        assert len(taken) == 1
        assert list(refused) == ["a!/tmp/slip.txt"]
        assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_inside_are_not_followed(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    link = zipfile.ZipInfo("soft")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    reasons = {name: entry.reason for name, entry in outcomes(tmp_path)[1].items()}
    not_followed = "link inside an archive: not followed"
    assert reasons == {
        "a.tar!soft": not_followed,
        "a.tar!hard": not_followed,
        "a.tar!pipe": "not a regular file",
        "b.zip!soft": not_followed,
    }


def test_an_encrypted_member_is_refused_and_the_others_are_taken(tmp_path):
    content = bytearray(zipped(slices(2)))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(mark, content.index(mark) + 1)  # the first is the folder
        content[place + flags] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    taken, refused = outcomes(tmp_path)
    assert len(taken) == 1
    assert refused["a.zip!in/0.dcm"].reason == "encrypted inside an archive: unpack it and give the folder"


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_costs_a_refusal_that_states_the_limits(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 20)
    (tmp_path / "bomb").write_bytes(PACK[kind]({"zeros": bytes(8 << 20)}))
    if kind == "tar":
        assert list(outcomes(tmp_path)[1]) == ["bomb!zeros"]
        return
    taken, refused = outcomes(tmp_path)
    assert not taken
    assert list(refused) == ["bomb"]
    assert "more than 1 MiB and 100 times its size" in refused["bomb"].reason


def test_a_bomb_of_archives_is_counted_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 3 << 20)
    inner = zipped({"zeros": bytes(2 << 20)})
    (tmp_path / "bomb").write_bytes(zipped({f"{i}.zip": inner for i in range(4)}))
    _, refused = outcomes(tmp_path)
    assert [name for name, entry in refused.items() if "100 times" in entry.reason] == [
        f"bomb!{i}.zip" for i in (1, 2, 3)
    ]


def test_a_zip_that_lies_about_its_sizes_gives_no_more_than_declared(tmp_path):
    content = bytearray(zipped({"zeros": bytes(1 << 20)}))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    _, refused = outcomes(tmp_path)
    assert list(refused) == ["a.zip!zeros"]


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    for kind, pack in PACK.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a").write_bytes(pack(slices(4)))
        taken, refused = outcomes(tmp_path / kind)
        assert not taken
        assert refused["a"].reason == "archive of more than 3 files: unpack it and give the folder"


def test_a_directory_too_large_is_never_read(tmp_path, monkeypatch):
    content = bytearray(zipped(slices(1)))
    content[-10:-6] = (40 << 20).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    monkeypatch.setattr("zipfile.ZipFile", lambda *_: pytest.fail("read"))
    assert outcomes(tmp_path)[1]["a.zip"].reason.startswith("archive of too many files")


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("left", [0.3, 0.6, 0.8])
def test_what_is_cut_off_is_said(tmp_path, kind, left):
    """Members before the cut are taken or refused; that there was more is never passed over."""
    noise = np.random.default_rng(0).integers(0, 2000, (6, 64, 64)).astype(np.int16)
    members = {str(z): content_of(ct(noise[z], ImagePositionPatient=[0, 0, z])) for z in range(6)}
    content = PACK[kind](members)
    (tmp_path / "a").write_bytes(content[: int(left * len(content))])
    taken, refused = outcomes(tmp_path)
    assert refused
    assert len(taken) + len(refused) <= 7


def test_a_damaged_header_within_a_tar_does_not_hide_what_follows(tmp_path):
    content = bytearray(tarred(slices(4)))
    place = content.index(b"in/2.dcm")
    content[place + 148 : place + 156] = b"9999999\0"
    (tmp_path / "a.tar").write_bytes(content)
    taken, refused = outcomes(tmp_path)
    assert len(taken) == 2
    assert "what follows its last readable file is lost" in refused["a.tar"].reason


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_with_a_wrong_checksum_is_refused(tmp_path, method):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in slices(2).items():
            archive.writestr(name, content)
    content = bytearray(stream.getvalue())
    content[content.index(b"PK\x01\x02") + 16] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    taken, refused = outcomes(tmp_path)
    assert (len(taken), list(refused)) == (1, ["a.zip!in/0.dcm"])


def test_a_slice_that_begins_like_a_zip_is_a_slice(tmp_path):
    content = bytearray(content_of(ct()))
    content[:4] = b"PK\x03\x04"
    (tmp_path / "a").write_bytes(content)
    assert len(outcomes(tmp_path)[0]) == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_that_is_no_archive_is_one_file(tmp_path, pack):
    (tmp_path / "notes.gz").write_bytes(pack(b"plain text" * 100))
    _, refused = outcomes(tmp_path)
    assert refused["notes.gz"].reason == "not DICOM"
    assert refused["notes.gz"].sha256 is not None


def test_empty_archives_are_named(tmp_path):
    for kind, pack in PACK.items():
        (tmp_path / kind).write_bytes(pack({}))
    assert {entry.reason for entry in outcomes(tmp_path)[1].values()} == {"empty archive"}


def test_more_archives_than_are_kept_open(tmp_path, monkeypatch):
    """One series scattered over seven archives: each is opened again when its turn comes."""
    monkeypatch.setattr(archives, "MOST_OPEN", 2)
    members = slices(21)
    kinds = list(PACK)
    for i in range(7):
        part = {name: content for z, (name, content) in enumerate(members.items()) if z % 7 == i}
        (tmp_path / str(i)).write_bytes(PACK[kinds[i % len(kinds)]](part))
    found = find_files([tmp_path])
    taken = list(read_slices(scan(found.files), PSEUDONYMS))
    assert [record.position_mm for record in taken] == list(range(21))
    if Path("/proc/self/fd").exists():
        opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert sum(str(tmp_path) in name for name in opened) <= 2


def test_the_same_slice_in_and_out_of_an_archive_is_one(tmp_path):
    content = slices(1)["in/0.dcm"]
    (tmp_path / "a.zip").write_bytes(zipped({"x": content}))
    (tmp_path / "b.dcm").write_bytes(content)
    taken, refused = outcomes(tmp_path)
    assert (len(taken), len(refused)) == (1, 1)
    assert taken[0].image_hu.shape == (SIZE, SIZE)
    assert np.isfinite(taken[0].image_hu).all()
