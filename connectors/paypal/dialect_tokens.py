"""PayPal's access tokens: lent for a client's id and secret, good for a while.

A token holds its own end under a seal, so nothing is kept of it, and one of before a restart is as good as ever.
Not here: what a token opens (everything).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs

from connectors.contract import HttpRequest
from connectors.paypal.dialect_errors import NotAuthorized
from connectors.simulator.dialect import Settings
from connectors.simulator.records import milliseconds, moment

TOKEN_PATH: Final = "/v1/oauth2/token"
LIFE_SECONDS: Final = 9 * 3600
"""As the sandbox says."""
_TEST_CLIENT: Final = "test_"
"""How a client id begins that is taken where no particular one is."""
_TOKEN: Final = re.compile(r"A21AA([0-9a-z]{1,12})-([0-9a-f]{16})-([0-9a-f]{64})", re.ASCII)


def lend(settings: Settings, request: HttpRequest, now: datetime) -> dict[str, Any]:
    """`POST /v1/oauth2/token`. Raises NotAuthorized."""
    client = _client(settings, next((value for name, value in request.headers if name == "authorization"), ""))
    if client is None:
        raise NotAuthorized("invalid_client", "Client Authentication failed")
    try:
        grants = parse_qs(request.body.decode("ascii"), max_num_fields=20).get("grant_type", [])
    except (UnicodeDecodeError, ValueError):
        grants = []
    if grants != ["client_credentials"]:
        raise NotAuthorized("unsupported_grant_type", "Grant Type is NULL or not supported")
    seconds = int(min(LIFE_SECONDS, settings.token_seconds))
    return {
        "scope": "https://uri.paypal.com/services/payments/payment/authcapture https://uri.paypal.com/services/payments/refund",
        "access_token": _sealed(settings, client, now + timedelta(seconds=seconds)),
        "token_type": "Bearer",
        "app_id": "APP-80W284485P519543T",
        "expires_in": seconds,
        "nonce": f"{now.strftime('%Y-%m-%dT%H:%M:%SZ')}simulated",
    }


def is_good(settings: Settings, authorization: str, now: datetime) -> bool:
    """Whether the header bears a token of ours that has not run out."""
    scheme, _, token = authorization.partition(" ")
    match = _TOKEN.fullmatch(token.strip())
    if scheme.lower() != "bearer" or match is None:
        return False
    end = moment(int(match[1], 36))
    return now < end and hmac.compare_digest(_sealed(settings, match[2], end), token.strip())


def _sealed(settings: Settings, name: str, end: datetime) -> str:
    stored = _base36(milliseconds(end))
    seal = hmac.new((settings.api_key or _TEST_CLIENT).encode(), f"{stored}-{name}".encode(), sha256).hexdigest()
    return f"A21AA{stored}-{name}-{seal}"


def _client(settings: Settings, authorization: str) -> str | None:
    """The client's id out of a Basic header, as a token names it; None where the client is not taken."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, _, secret = client.partition(":")
    taken = name.startswith(_TEST_CLIENT) and bool(secret)
    if settings.api_key is not None:
        taken = hmac.compare_digest(client.encode(), settings.api_key.encode())
    return sha256(name.encode()).hexdigest()[:16] if taken else None


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, place = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[place] + digits
    return digits or "0"
