"""Signatures of what merchants are sent, as Standard Webhooks has them: the receiver verifies with any of its libraries.

    webhook-id: evt_...                   the same each time that event is sent
    webhook-timestamp: 1795435200         seconds; each try is signed anew
    webhook-signature: v1,<base64> v1,<base64>

A signature is the HMAC-SHA256 of `<id>.<timestamp>.<body>`; there is one for each secret that is valid, so that a merchant may move from
one to the next at any moment. The official library makes them. Its `verify` is not used: it reads the machine's clock, and hostile headers
get ValueError, UnicodeDecodeError or JSONDecodeError out of it; here whatever is not exactly right is one refusal.

Not here: which secrets are valid at a moment and where they are kept (`payorch.sealing`); signatures of PSPs, which are their connectors'.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""What a new secret is made of: as much as the digest is long."""
_SHORTEST_SECRET_BYTES: Final = 24
_LONGEST_SECRET_BYTES: Final = 64
TOLERANCE_SECONDS: Final = 300
"""How far the time of signing may lie from the receiver's, in the past or in the future: the specification's libraries allow as much."""
_LONGEST_HEADER: Final = 4096
# No dot, which parts the id from what follows in the signed text.
_MESSAGE_ID: Final = re.compile(r"[!-\-/-~]{1,200}")
_TIME: Final = re.compile(r"[1-9][0-9]{0,10}")


class SignatureRefused(Exception):
    """The message is not to be believed. The text says why, and shows neither secrets nor what was sent."""


def new_secret(entropy: bytes) -> str:
    """A secret made of `entropy`, 24 to 64 unpredictable bytes (SECRET_BYTES are enough) used for nothing else. Raises ValueError."""
    if not _SHORTEST_SECRET_BYTES <= len(entropy) <= _LONGEST_SECRET_BYTES:
        raise ValueError(f"a secret takes {_SHORTEST_SECRET_BYTES} to {_LONGEST_SECRET_BYTES} bytes of entropy, not {len(entropy)}")
    return PREFIX + base64.b64encode(entropy).decode()


def sign(secrets: Sequence[str], *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers, with a signature for each secret, in their order. `at` is aware and counts in whole seconds; `body` is UTF-8.

    Raises ValueError without a secret, and for what is no secret, id, time or text.
    """
    if not secrets:
        raise ValueError("nothing is signed without a secret")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id is 1 to 200 visible ASCII characters without a dot")
    moment = _moment(at)
    text = body.decode()
    signatures = [_key(secret).sign(message_id, moment, text) for secret in secrets]
    return {ID: message_id, TIMESTAMP: str(int(moment.timestamp())), SIGNATURE: " ".join(signatures)}


def verify(secrets: Sequence[str], *, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
    """Returns where the message was signed with one of the secrets, within TOLERANCE_SECONDS of `at`; otherwise raises SignatureRefused.

    `headers` have lower-case names. Only ValueError for what is no secret of ours comes besides: never an error by what was received.
    """
    keys = [_key(secret) for secret in secrets]
    message_id, timestamp, presented = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and timestamp and presented):
        raise SignatureRefused(f"one of the headers {ID}, {TIMESTAMP} and {SIGNATURE} is missing")
    if not _MESSAGE_ID.fullmatch(message_id) or not _TIME.fullmatch(timestamp) or len(presented) > _LONGEST_HEADER:
        raise SignatureRefused("one of the signature headers cannot be read")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SignatureRefused("the body is not UTF-8, and signed messages are") from None
    moment = datetime.fromtimestamp(int(timestamp), UTC)
    expected = [key.sign(message_id, moment, text).encode() for key in keys]
    # Bytes, because compare_digest raises on text that is not ASCII; and what came over a wire may hold half surrogate pairs.
    found = [one.encode("utf-8", "surrogatepass") for one in presented.split(" ")]
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in found):
        raise SignatureRefused("no signature fits the body and a secret")
    if abs(at.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"signed more than {TOLERANCE_SECONDS} seconds from our time: it is played back, or a clock is wrong")


def _key(secret: str) -> Webhook:
    """Raises ValueError, which does not repeat it. The library takes nearly anything for base64, and would sign with an accident."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except ValueError:
        key = b""
    if not _SHORTEST_SECRET_BYTES <= len(key) <= _LONGEST_SECRET_BYTES:
        raise ValueError(f"a webhook secret is {PREFIX} and {_SHORTEST_SECRET_BYTES} to {_LONGEST_SECRET_BYTES} bytes in base64")
    return Webhook(key)


def _moment(at: datetime) -> datetime:
    # The library takes the digits of a time for UTC, whatever its zone.
    if at.tzinfo is None:
        raise ValueError("the time of signing has no zone")
    return at.astimezone(UTC).replace(microsecond=0)
