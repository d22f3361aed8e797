"""`Retry-After` as a PSP sends it: whole seconds, or a date. Pure. Not here: what is done with it (`connector`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TOO_BUSY: Final = frozenset({429, 503})


def come_back_at(status: int, header: str | None, now: datetime, *, longest_seconds: float) -> datetime | None:
    """When the PSP wants to be asked again; None where it did not say so in an answer that means "not now", or said a moment that is past.

    longest_seconds: what is believed at the most: a PSP's slip must not switch it off for a day.
    """
    if status not in _TOO_BUSY or header is None:
        return None
    at = _moment(header.strip(), now)
    if at is None or at <= now:
        return None
    return min(at, now + timedelta(seconds=longest_seconds))


def _moment(text: str, now: datetime) -> datetime | None:
    if _SECONDS.fullmatch(text):
        return now + timedelta(seconds=int(text))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    # RFC 5322 has "-0000" for "no zone known"; HTTP's dates are always GMT.
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
