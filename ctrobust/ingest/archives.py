"""Files inside zip and tar archives, one by one; nothing is unpacked where anybody else could see it.

The name of a member is shown and never used as a path, links are not followed, and what an archive may hold
is limited before it is unpacked: a bomb costs a refusal.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import UnsupportedOperation
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import BinaryIO

from ctrobust.ingest.containers import Container, Entry, kind_of, open_container
from ctrobust.ingest.refusal import RefusalError, Refused, refusing
from ctrobust.ingest.spool import spool

HEAD = 512
"""Bytes by which an archive is known."""
MOST_OPEN = 4
"""Archives kept open at a time; one series rarely lies in more."""
MOST_NESTING = 3
"""An archive in an archive in an archive is looked into; one deeper is not."""
MOST_MEMBERS = 200_000
MOST_RATIO = 100
"""How many times its own size an archive may hold, where that is more than `MOST_BYTES`."""
MOST_BYTES = 1 << 30


@dataclass
class Budget:
    """What is left of the limits of one archive and of all archives within it."""

    bytes_left: int
    members_left: int

    def spend(self, members: int, length: int) -> None:
        """Raise RefusalError where the archive goes beyond its limits."""
        self.members_left -= members
        self.bytes_left -= length
        if self.members_left < 0:
            raise RefusalError(f"archive of more than {MOST_MEMBERS} files: unpack it and give the folder")
        if self.bytes_left < 0:
            raise RefusalError(too_much())


def too_much() -> str:
    """The refusal of a bomb, with the limits."""
    return (
        f"archive that unpacks to more than {MOST_BYTES >> 20} MiB and {MOST_RATIO} times its size: "
        "unpack it, if you trust it, and give the folder"
    )


@dataclass(frozen=True, eq=False)
class Archive:
    """An archive among the files, or among the members of another; `most` bytes when no longer compressed."""

    source: "Source"
    shelf: "Shelf" = field(repr=False)
    budget: Budget = field(repr=False)
    most: int


@dataclass(frozen=True)
class Member:
    """One file in an archive. `label` is its name for the terminal, archive.zip!member, and no path."""

    archive: Archive
    entry: Entry
    label: Path


Source = Path | Member
"""Where the bytes of a file are."""

Stamp = tuple[int, ...]
"""What the file system says of a file, by which a change shows; () for what lies in an archive."""


class Shelf:
    """The archives open at the moment; the one that was used least recently makes room.

    lock: held by whoever reads from one of them, since each has one position.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Archive, Container] = OrderedDict()
        self.lock = RLock()

    def get(self, archive: Archive) -> Container:
        """The container of an archive, opened where it is not; raises RefusalError where that fails."""
        if archive not in self._open:
            stream = open_source(archive.source)
            try:
                self._open[archive] = open_container(stream, archive.most, too_much())
            except BaseException:
                stream.close()
                raise
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(archive)
        return self._open[archive]


def open_source(source: Source) -> BinaryIO:
    """The bytes of a file or of a member, as a stream at its beginning."""
    if isinstance(source, Path):
        return source.open("rb")
    with refusing("damaged archive"), source.archive.shelf.lock:
        container = source.archive.shelf.get(source.archive)
        return spool(container.read(source.entry), source.entry.size, "damaged archive")


def stamp_of(stream: BinaryIO) -> Stamp:
    """The stamp of an open file."""
    try:
        status = os.fstat(stream.fileno())
    except UnsupportedOperation:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def label_of(source: Source) -> Path:
    """What to call a file on the terminal and in the log."""
    return source if isinstance(source, Path) else source.label


def expand(path: Path, shelf: Shelf) -> Iterator[Source | Refused]:
    """The file itself, or its members where it is an archive; what is inside archives in it likewise."""
    try:
        with path.open("rb") as stream:
            archived = kind_of(stream) is not None
        size = path.stat().st_size
    except OSError:
        # Reading it will fail again, and say why.
        archived = False
    if not archived:
        yield path
        return
    budget = Budget(max(MOST_BYTES, MOST_RATIO * size), MOST_MEMBERS)
    yield from _members(Archive(path, shelf, budget, budget.bytes_left), 1)


def _members(archive: Archive, depth: int) -> Iterator[Source | Refused]:
    label = label_of(archive.source)
    try:
        with refusing("damaged archive"):
            container = archive.shelf.get(archive)
            entries = list(islice(container.entries(), archive.budget.members_left + 1))
            archive.budget.spend(len(entries), sum(entry.size for entry in entries if not entry.problem))
            if not entries:
                raise RefusalError("empty archive")
    except RefusalError as refusal:
        yield Refused(label, None, refusal.reason, refusal.detail)
        return
    for entry in entries:
        member = Member(archive, entry, Path(f"{label}!{entry.name}"))
        if entry.problem:
            yield Refused(member.label if entry.name else label, None, entry.problem)
        else:
            yield from _looked_into(member, depth)


def _looked_into(member: Member, depth: int) -> Iterator[Source | Refused]:
    try:
        with refusing("damaged archive"):
            archived = _is_archive(member)
            if archived and depth >= MOST_NESTING:
                raise RefusalError("archives within archives within archives: unpack it and give the folder")
    except RefusalError as refusal:
        yield Refused(member.label, None, refusal.reason, refusal.detail)
        return
    if archived:
        shelf, budget = member.archive.shelf, member.archive.budget
        yield from _members(Archive(member, shelf, budget, max(budget.bytes_left, 0)), depth + 1)
    else:
        yield member


def _is_archive(member: Member) -> bool:
    with spool(member.archive.shelf.get(member.archive).read(member.entry, HEAD), HEAD, "") as head:
        # Its head says no more of a compressed file than that it is compressed.
        if kind_of(head, whole=False) is None:
            return False
    with open_source(member) as stream:
        return kind_of(stream) is not None
