"""Names that say nothing: keyed hashes of a source's own identifiers. The key stays with the user."""

import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say

KEY_BYTES = 32
DIGITS = 12


@dataclass(frozen=True)
class Pseudonyms:
    """HMAC-SHA-256 under a secret key: the same person gets the same name, and nobody without the key can
    try names out against it.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"key: {len(self.key)} bytes found, {KEY_BYTES} needed")

    @classmethod
    def from_file(cls, path: Path | None = None) -> "Pseudonyms":
        """The key in a file, by default the user's own; made at first use, readable by its owner alone.

        Raises UserError where the file cannot be read or made, or holds no key.
        """
        path = path or platformdirs.user_config_path("ctrobust") / "pseudonym.key"
        try:
            if not path.exists():
                _make_key(path)
            key = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: the key of the pseudonyms cannot be read or made ({error.strerror}); "
                "name another with --key FILE"
            ) from error
        if len(key) != KEY_BYTES:
            raise UserError(
                f"{path}: not a key of pseudonyms ({len(key)} bytes, {KEY_BYTES} expected); "
                "name another with --key FILE"
            )
        return cls(key)

    @property
    def key_id(self) -> str:
        """Tells keys apart and gives nothing away: two stores with the same one agree on names."""
        return self._digest("key", "")

    def patient(self, identity: str) -> str:
        """Such as p-0123456789ab."""
        return f"p-{self._digest('patient', identity)}"

    def series(self, identity: str) -> str:
        """Such as s-0123456789ab."""
        return f"s-{self._digest('series', identity)}"

    def _digest(self, kind: str, identity: str) -> str:
        # Undecodable bytes of an identifier come as surrogates; they must hash, not fail.
        text = f"{kind}/{identity}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, "sha256").hex()[:DIGITS]


def _make_key(path: Path) -> None:
    """Complete or absent: of two processes that start together, both end up with the key linked first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        path.hardlink_to(part)
        say(f"{path}: made a new key for pseudonyms; keep it, the same key gives the same pseudonyms")
    except FileExistsError:
        return
    finally:
        part.unlink()
