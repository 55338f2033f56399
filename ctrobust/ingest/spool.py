"""Bytes that have to be unpacked: kept where nobody else can see them, and never more than was agreed."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from ctrobust.ingest.refusal import RefusalError

IN_MEMORY = 64 << 20
"""Bytes kept in memory; beyond, in a temporary file without a name."""
CHUNK = 1 << 20


def spool(chunks: Iterable[bytes], most: int, reason: str) -> BinaryIO:
    """The chunks one after another as a stream that stands at its beginning.

    Raises RefusalError with `reason` as soon as there are more than `most` bytes.
    """
    stream = cast(BinaryIO, SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115 - the caller reads it
    length = 0
    try:
        for chunk in chunks:
            length += len(chunk)
            if length > most:
                raise RefusalError(reason)
            stream.write(chunk)
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


def chunks_of(stream: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """The rest of a stream, or its next `length` bytes; raises RefusalError where those are not there."""
    left = length
    while left is None or left > 0:
        chunk = stream.read(CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            if left is not None:
                raise RefusalError("the file breaks off")
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def inflate(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of a stream, deflated without header (RFC 1951), a bounded chunk at a time."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in chunks_of(stream):
        while chunk and not inflater.eof:
            yield inflater.decompress(chunk, CHUNK)
            chunk = inflater.unconsumed_tail
    yield inflater.flush()
    if not inflater.eof:
        raise RefusalError("the file breaks off")


def sha256_of_stream(stream: BinaryIO) -> str:
    """SHA-256, in hex, of a stream that stands at its beginning, and does so again afterwards."""
    # What a BinaryIO lacks by its type, all streams here have.
    digest = hashlib.file_digest(cast(BytesIO, stream), "sha256").hexdigest()
    stream.seek(0)
    return digest
