"""Access tokens: what a PSP lends us for a while to authenticate calls with. Part of its connector's actor, which alone holds them.

Got when the first call needs one, shared by all connections, and got anew before it ends. Whoever needs one while somebody gets it waits
for that, and shares how it ends. Without one a call is surely not sent; that is the PSP's fault or the way's, or, where it refuses what we
sign in with, our configuration's.

Not here: how a PSP is asked for one and what its answer means (the connector), where the token stands in a call (the connector).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, final

import trio

from connectors.contract import AccessToken, Connector, HttpRequest
from payorch.domain.outcome import ErrorClass
from payorch.ports import Channel, Clock, Network, NotSent, OutcomeLost, Timeouts

SIGN_IN: Final = "sign_in"
CREDENTIALS_REFUSED: Final = "credentials_refused"
_REFUSALS: Final = frozenset({400, 401, 403})


class NotSignedIn(Exception):
    """There is no token, so nothing was sent. `code`: in one word why; the text tells it to people."""

    def __init__(self, error_class: ErrorClass, code: str, why: str) -> None:
        super().__init__(why)
        self.error_class = error_class
        self.code = code


@dataclass(slots=True)
class _Fetch:
    """Somebody gets a token: set when that is over. `token` or `failure`: how it ended."""

    over: trio.Event = field(default_factory=trio.Event)
    token: AccessToken | None = field(default=None, repr=False)
    failure: NotSignedIn | None = None


@final
class Tokens:
    """margin_seconds: how long before its end a token is not used any more; at most half of the time that it is lent for."""

    def __init__(
        self, *, connector: Connector, network: Network, base_url: str, credentials: Mapping[str, str], clock: Clock, margin_seconds: float
    ) -> None:
        self._connector = connector
        self._network = network
        self._base_url = base_url
        self._credentials = credentials
        self._clock = clock
        self._margin = timedelta(seconds=margin_seconds)
        self._channel: Channel | None = None
        self._token: AccessToken | None = None
        self._good_until: datetime | None = None
        self._fetch: _Fetch | None = None

    async def current(self, timeouts: Timeouts, *, refused: AccessToken | None = None) -> AccessToken | None:
        """The token for a call that goes out now; None where the PSP lends none. `refused`: one that it does not take any more, so another
        is needed. Raises NotSignedIn.
        """
        request = self._connector.sign_in(self._credentials)
        if request is None:
            return None
        good = self._token is not None and self._good_until is not None and self._clock.now() < self._good_until
        return self._token if good and self._token is not refused else await self._shared(request, timeouts)

    def credentials(self, token: AccessToken | None) -> Mapping[str, str]:
        """What a call is authenticated with, as the connector takes it."""
        return self._credentials if token is None else {**self._credentials, "access_token": token.value}

    async def keep(self) -> None:
        """Beside the actor's loop: lets go of the connection over which tokens come, at the end."""
        try:
            await trio.sleep_forever()
        finally:
            if self._channel is not None:
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await self._channel.aclose()

    async def _shared(self, request: HttpRequest, timeouts: Timeouts) -> AccessToken | None:
        fetch = self._fetch
        if fetch is not None:
            with trio.move_on_after(timeouts.total_seconds) as patience:
                await fetch.over.wait()
            if patience.cancelled_caught:
                raise NotSignedIn(ErrorClass.NOT_SENT, "deadline", "the call waited for an access token until its time was over")
        else:
            fetch = self._fetch = _Fetch(failure=NotSignedIn(ErrorClass.NOT_SENT, SIGN_IN, "whoever got the access token gave up"))
            try:
                await self._get(fetch, request, timeouts)
            finally:
                self._fetch = None
                fetch.over.set()
        if fetch.failure is not None:
            raise fetch.failure
        return fetch.token

    async def _get(self, fetch: _Fetch, request: HttpRequest, timeouts: Timeouts) -> None:
        self._token = None
        self._channel = self._channel or self._network.channel(self._base_url)
        try:
            response = await self._channel.exchange(request, timeouts=timeouts)
        except NotSent as problem:
            why = f"no access token, because the PSP was not reached ({problem.reason})"
            fetch.failure = NotSignedIn(ErrorClass.NOT_SENT, problem.reason, why)
            return
        except OutcomeLost as problem:
            fetch.failure = NotSignedIn(ErrorClass.NOT_SENT, SIGN_IN, f"no access token, because the answer was lost ({problem.reason})")
            return
        now = self._clock.now()
        token = self._connector.signed_in(response, at=now)
        if token is not None and token.expires_at > now:
            lent = token.expires_at - now
            fetch.failure, fetch.token = None, token
            self._token, self._good_until = token, token.expires_at - min(self._margin, lent / 2)
        elif response.status in _REFUSALS:
            why = f"the PSP does not take the credentials that we sign in with (HTTP {response.status})"
            fetch.failure = NotSignedIn(ErrorClass.CONFIGURATION, CREDENTIALS_REFUSED, why)
        else:
            fetch.failure = NotSignedIn(ErrorClass.NOT_SENT, SIGN_IN, f"the PSP lends us no access token (HTTP {response.status})")
