"""The two kinds of archive behind one face: a list of entries, and the bytes of each."""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from ctrobust.ingest.refusal import RefusalError
from ctrobust.ingest.spool import chunks_of, spool

Opener = Callable[[BinaryIO], Any]

BLOCK = 512
COMPRESSED: dict[bytes, Opener] = {
    b"\x1f\x8b\x08": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
DICOM_MARK = (slice(128, 132), b"DICM")
TAR_MARK = (slice(257, 262), b"ustar")
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
MOST_DIRECTORY = 32 << 20
"""Bytes of a zip's directory, which is held in memory: 200 000 names and more."""
ZIP_TAIL = 66_000
"""Bytes within which the end record of a zip lies."""

NOT_REGULAR, LINK = "not a regular file", "link inside an archive: not followed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its name there, declared bytes, place (in the directory, or in the tar).

    problem: why it cannot be read; "" where it can. A problem of the archive itself has no name.
    """

    name: str
    size: int
    place: int
    problem: str = ""


class Container(Protocol):
    """An open archive."""

    def entries(self) -> Iterator[Entry]:
        """Its files, no folders; raises whatever its reader raises."""

    def read(self, entry: Entry, most: int | None = None) -> Iterator[bytes]:
        """The bytes of an entry, or the first `most`; raises whatever its reader raises."""

    def close(self) -> None: ...


def kind_of(stream: BinaryIO, *, whole: bool = True) -> str | None:
    """ "zip", "tar", or None for no archive; looks, and returns to the beginning.

    A compressed file is a "tar" if there is one inside it; not `whole`: it is taken for one.
    """
    head = stream.read(BLOCK)
    stream.seek(0)
    # A DICOM file may begin with anything, a zip's mark included.
    if head[DICOM_MARK[0]] == DICOM_MARK[1]:
        return None
    if head.startswith(ZIP_MARKS):
        return "zip"
    if head[TAR_MARK[0]] == TAR_MARK[1]:
        return "tar"
    for mark, opener in COMPRESSED.items():
        if head.startswith(mark):
            return "tar" if not whole or _is_compressed_tar(stream, opener) else None
    return None


def open_container(stream: BinaryIO, most: int, reason: str) -> Container:
    """The archive in a stream; raises RefusalError with `reason` where a compressed tar has more than `most`
    bytes, and whatever a reader raises where it is damaged.
    """
    if kind_of(stream) == "zip":
        return ZipContainer(stream)
    mark = next((mark for mark in COMPRESSED if _starts(stream, mark)), None)
    if mark is not None:
        with stream, COMPRESSED[mark](stream) as plain:
            stream = spool(chunks_of(plain), most, reason)
    return TarContainer(stream)


class ZipContainer:
    """A zip file. Encrypted members are listed with their problem."""

    def __init__(self, stream: BinaryIO) -> None:
        _check_directory(stream)
        self._stream, self._zip = stream, zipfile.ZipFile(stream)

    def entries(self) -> Iterator[Entry]:
        for place, info in enumerate(self._zip.infolist()):
            if not info.is_dir():
                yield Entry(info.filename, info.file_size, place, _zip_problem(info))

    def read(self, entry: Entry, most: int | None = None) -> Iterator[bytes]:
        length = entry.size if most is None else min(most, entry.size)
        with self._zip.open(self._zip.infolist()[entry.place]) as stream:
            yield from chunks_of(cast(BinaryIO, stream), length)

    def close(self) -> None:
        self._zip.close()
        self._stream.close()


class TarContainer:
    """A tar file, no longer compressed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def entries(self) -> Iterator[Entry]:
        end = 0
        self._stream.seek(0)
        with suppress(tarfile.TarError), tarfile.open(fileobj=self._stream, mode="r:") as tar:
            while (info := tar.next()) is not None:
                end = tar.offset
                if not info.isdir():
                    yield Entry(info.name, info.size, info.offset_data, _tar_problem(info))
                tar.members = []  # type: ignore[attr-defined]  # they would pile up
        yield from self._rest(end)

    def read(self, entry: Entry, most: int | None = None) -> Iterator[bytes]:
        self._stream.seek(entry.place)
        yield from chunks_of(self._stream, entry.size if most is None else min(most, entry.size))

    def close(self) -> None:
        self._stream.close()

    def _rest(self, end: int) -> Iterator[Entry]:
        """A tar ends in a block of zeros at least. The reader takes its own for granted: a damaged header passes
        for the end, and so does a cut between two files.
        """
        length = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(min(end, length))
        more = any(chunk.strip(b"\0") for chunk in chunks_of(self._stream))
        if more or length < end + BLOCK:
            yield Entry("", 0, 0, "damaged archive: what follows its last readable file is lost")


def _is_compressed_tar(stream: BinaryIO, opener: Opener) -> bool:
    try:
        with opener(stream) as plain:
            return bool(plain.read(BLOCK)[TAR_MARK[0]] == TAR_MARK[1])
    except (OSError, EOFError, ValueError, MemoryError, lzma.LZMAError, zlib.error):
        return False
    finally:
        stream.seek(0)


def _starts(stream: BinaryIO, mark: bytes) -> bool:
    found = stream.read(len(mark)) == mark
    stream.seek(0)
    return found


def _check_directory(stream: BinaryIO) -> None:
    """A zip's reader takes in as large a directory as the end record declares, every entry at once."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - ZIP_TAIL))
    tail = stream.read()
    stream.seek(0)
    sizes = [
        int.from_bytes(tail[place + at : place + at + length], "little")
        for mark, at, length in ((b"PK\x05\x06", 12, 4), (b"PK\x06\x06", 40, 8))
        if (place := tail.rfind(mark)) >= 0
    ]
    if any(MOST_DIRECTORY < size < 0xFFFFFFFF for size in sizes):
        raise RefusalError("archive of too many files: unpack it and give the folder")


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 0x1:
        return "encrypted inside an archive: unpack it and give the folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return LINK
    return "" if kind in (0, stat.S_IFREG) else NOT_REGULAR


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return LINK
    return "" if info.isreg() and not info.issparse() else NOT_REGULAR
