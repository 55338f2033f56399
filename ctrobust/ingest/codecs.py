"""The transfer syntaxes that CT comes in, in plain words, and what to install for those that cannot be read."""

import re
from typing import Any

UID = "1.2.840.10008.1.2"
CODECS = {
    "uncompressed": (UID, f"{UID}.1", f"{UID}.2", f"{UID}.1.99"),
    "RLE": (f"{UID}.5",),
    "JPEG, 8 bits": (f"{UID}.4.50",),
    "JPEG, 12 bits": (f"{UID}.4.51",),
    "JPEG lossless": (f"{UID}.4.57", f"{UID}.4.70"),
    "JPEG-LS": (f"{UID}.4.80", f"{UID}.4.81"),
    "JPEG 2000": (f"{UID}.4.90", f"{UID}.4.91"),
    "HTJ2K": (f"{UID}.4.201", f"{UID}.4.202", f"{UID}.4.203"),
}


def reads(decoder: Any) -> bool:
    """Whether what is installed can decode it."""
    # Pillow offers itself for 12 bits too, and then refuses.
    twelve_bits = decoder.UID in CODECS["JPEG, 12 bits"]
    return bool(decoder.is_available and not (twelve_bits and decoder.available_plugins == ("pillow",)))


def cure(decoder: Any) -> str:
    """`pip install …` out of pydicom's "pylibjpeg - requires pylibjpeg>=2.0 and pylibjpeg-libjpeg>=2.1"."""
    ways = sorted(decoder.missing_dependencies, key=lambda way: not way.startswith("pylibjpeg"))
    wanted = re.findall(r"[\w-]+>=[\w.]+", ways[0]) if ways else []
    return (
        "`pip install " + " ".join(f"'{package}'" for package in wanted) + "`" if wanted else "; ".join(ways)
    )
