"""Secrets that must be read again, such as those that merchants' webhooks are signed with: how they are closed before they are stored.

    sealed = version (1 byte) + nonce (12 bytes) + AES-256-GCM of the plain bytes (as many, and 16 more)

The key is derived from `PAYORCH_SECRET_KEY` for one purpose, and the context, which is the id of the row, is sealed in with the rest: what
was moved to another row, or is asked for under another purpose, does not open. The version stands in front so that another key or another
cipher can be told apart from this one.

Not here: what need not be read again, which is kept as a digest (`payorch.keys`); where nonces come from, which is the entropy port.
"""

from __future__ import annotations

from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from payorch.keys import Secret, derived_key

NONCE_BYTES: Final = 12
"""Chosen by chance, so that a key is good for 2^32 seals (NIST SP 800-38D): a merchant would have to rotate a secret each second for a
century."""
_VERSION: Final = b"\x01"
_TAG_BYTES: Final = 16


class SealBroken(Exception):
    """It does not open: it was changed or cut, belongs to another row, or was sealed with another key. Shows nothing of any of them."""

    def __init__(self) -> None:
        super().__init__(
            "a sealed secret does not open: it was changed, is another row's, or PAYORCH_SECRET_KEY is not the one it was sealed with"
        )


@final
class Sealer:
    """Seals and opens for one purpose. Holds the derived key, and does not show it."""

    __slots__ = ("_cipher",)

    def __init__(self, master: Secret, purpose: str) -> None:
        """`master` is PAYORCH_SECRET_KEY. Raises ValueError if it is too short."""
        self._cipher = AESGCM(derived_key(master, purpose))

    def seal(self, plain: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """`plain`, closed. `nonce`: NONCE_BYTES from the entropy port, for this call only. `context`: needed again to open it."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a seal takes a nonce of {NONCE_BYTES} bytes, not {len(nonce)}")
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _VERSION + context)

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """What was sealed with that context. Raises SealBroken."""
        nonce, closed = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] == _VERSION and len(closed) >= _TAG_BYTES:
            try:
                return self._cipher.decrypt(nonce, closed, _VERSION + context)
            except InvalidTag:
                pass
        raise SealBroken
