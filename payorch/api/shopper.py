"""The way back of a shopper from a PSP: a URL that only we can have made, and where the browser goes on to.

The token in the URL proves that we sent a shopper away for this attempt, and nothing else; it opens no data and is good as long as the
payment exists. What a PSP adds to the URL is never believed: coming back is a reason to ask the PSP, not evidence. But the PSP itself
may want to have it back, so it is told apart from our own mark and handed on, within bounds.

Not here: asking, or what the answer means for the payment.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from payorch.domain.payment import PUBLIC_STATUS
from payorch.domain.records import Payment

PURPOSE: Final = "shopper-return"
"""For `payorch.keys.derived_key`: the key is used for nothing else."""

RETURNED_PARAMETERS: Final = 20
"""Names that a browser may bring back. PSPs use one to five."""
RETURNED_CHARACTERS: Final = 32_768
"""Of names and values together: a 3-D Secure result in a form is the longest there is, at some ten thousand."""

_FORM: Final = b"payorch shopper return 1"
_TOKEN: Final = re.compile(r"(?P<attempt_id>att_[0-9a-z]{26})\.(?P<mark>[0-9A-Za-z_-]{43})")


def return_url(public_url: str, payment_id: str, attempt_id: str, key: bytes) -> str:
    """Where the PSP sends the shopper of that attempt back to. `public_url` has no slash at its end."""
    return f"{public_url}/v1/payments/{payment_id}/return?token={attempt_id}.{_mark(payment_id, attempt_id, key)}"


def returned_attempt(payment_id: str, tokens: Iterable[str], key: bytes) -> str | None:
    """The attempt whose shopper came back to that payment's URL; None where no token is one of ours for it.

    `tokens`: all values of the parameter, because a PSP may add a `token` of its own.
    """
    for token in tokens:
        match = _TOKEN.fullmatch(token)
        if match is not None and hmac.compare_digest(match["mark"].encode(), _mark(payment_id, match["attempt_id"], key).encode()):
            return match["attempt_id"]
    return None


def brought_back(parameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What the browser brought in its query and form: the first value of each name, without our own marks. What is beyond the bounds is
    left out: no PSP needs it, and it is nobody's word.
    """
    found: dict[str, str] = {}
    room = RETURNED_CHARACTERS
    for name, value in parameters:
        size = len(name) + len(value)
        if name in found or size > room or _TOKEN.fullmatch(value) is not None:
            continue
        if len(found) == RETURNED_PARAMETERS:
            break
        found[name] = value
        room -= size
    return found


def onward_url(payment: Payment) -> str | None:
    """The merchant's return URL with `payment_id` and `status` added to whatever query it has; None where the merchant gave none."""
    if payment.intent.return_url is None:
        return None
    parts = urlsplit(payment.intent.return_url)
    ours = urlencode({"payment_id": payment.id, "status": PUBLIC_STATUS[payment.state]})
    return urlunsplit(parts._replace(path=parts.path or "/", query=f"{parts.query}&{ours}" if parts.query else ours))


def farewell_page(payment: Payment) -> str:
    """A page for the shopper of a merchant without a return URL."""
    status = escape(PUBLIC_STATUS[payment.state].replace("_", " "))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Payment</title><p>Your payment is: <strong>{status}</strong>.</p>"
        "<p>You can close this page and go back to the shop.</p></html>"
    )


def _mark(payment_id: str, attempt_id: str, key: bytes) -> str:
    # Both ids have one length each, so nothing can be moved from one to the other.
    digest = hmac.digest(key, b"\0".join((_FORM, payment_id.encode("utf-8", "surrogatepass"), attempt_id.encode())), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
