"""New UIDs by derivation: the same for the same content, another for any other."""

import hmac

from pydicom import config
from pydicom.uid import UID

UUID_ROOT = "2.25."
"""UIDs made of UUIDs need no registered root. Source: DICOM PS3.5 B.2."""


def derive_uid(key: bytes, *parts: str) -> str:
    """A UID such as 2.25.2891…, out of HMAC-SHA-256(key, parts).

    Under a secret key nobody can try the source's UIDs out against it. The digest is cut to a UUID of version 8
    (RFC 9562): 122 bits, so that two different contents do not meet.
    """
    digest = hmac.digest(key, repr(parts).encode(), "sha256")
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # the version
    number = number & ~(0b11 << 62) | 0b10 << 62  # the variant
    return f"{UUID_ROOT}{number}"


def is_uid(value: object) -> bool:
    """Whether a value found in a file may stand in another as a UID."""
    return isinstance(value, str) and bool(value) and UID(value, validation_mode=config.IGNORE).is_valid
