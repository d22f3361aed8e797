"""One call to a PSP from its first byte to the last of its answer: authenticated, sent, and judged by the phase in which it failed.

Part of a connector's actor, and shared by all of its connections. Not here: whether a call may be made and when (`connector`, `admission`),
what an answer means (the PSP's connector).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from typing import Final, TypeAlias, final

import trio

from actors.tokens import NotSignedIn, Tokens
from connectors.contract import AccessToken, Connector, HttpRequest, HttpResponse
from payorch.domain.outcome import ErrorClass, Failure, Finding, NotExecuted, Unknown
from payorch.domain.records import PreparedCall
from payorch.ports import Channel, NotSent, OutcomeLost, Process, Timeouts

Ended: TypeAlias = tuple[Finding | None, HttpResponse | None]
"""How a call ended: one of the two."""

_UNAUTHENTICATED: Final = 401


@final
class Exchange:
    """least_call_seconds: with less than that left of its time, a call is not sent any more. over: told of each that is off the wire."""

    def __init__(
        self, *, connector: Connector, tokens: Tokens, least_call_seconds: float, process: Process, over: Callable[[], None]
    ) -> None:
        self._connector = connector
        self._tokens = tokens
        self._least_call_seconds = least_call_seconds
        self._process = process
        self._over = over
        self.in_flight = 0

    async def make(self, channel: Channel, call: PreparedCall, psp_key: str | None, timeouts: Timeouts) -> Ended:
        """Makes that call. Where the PSP does not take its token any more it did not look at the call: with another token it goes out
        again, once and inside its time.
        """
        ends = trio.current_time() + timeouts.total_seconds
        try:
            token = await self._tokens.current(timeouts)
            ended = await self._send(channel, call, psp_key, token, _until(ends, timeouts))
            _, response = ended
            if token is None or response is None or response.status != _UNAUTHENTICATED:
                return ended
            token = await self._tokens.current(_until(ends, timeouts), refused=token)
            return await self._send(channel, call, psp_key, token, _until(ends, timeouts))
        except NotSignedIn as failure:
            return not_sent(failure.code, f"Not sent: {failure}.", failure.error_class), None

    async def _send(
        self, channel: Channel, call: PreparedCall, psp_key: str | None, token: AccessToken | None, timeouts: Timeouts
    ) -> Ended:
        if timeouts.total_seconds < self._least_call_seconds:
            return not_sent("deadline", "Getting an access token took until too little of the call's time was left."), None
        try:
            request = self._connector.request(call, psp_key=psp_key, credentials=self._tokens.credentials(token))
        except ValueError as fault:
            # A call that cannot be built is a bug of ours about this one payment; it must not take the others' connections along.
            return not_sent("unsendable", f"The call could not be built ({type(fault).__name__})."), None
        try:
            return None, await self._on_the_wire(channel, request, timeouts)
        except NotSent as failure:
            return not_sent(failure.reason, f"Not a byte was sent to the PSP ({failure.reason})."), None
        except OutcomeLost as failure:
            why = f"The PSP's answer was lost ({failure.reason})."
            return Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code=failure.reason, message=why)), None

    async def _on_the_wire(self, channel: Channel, request: HttpRequest, timeouts: Timeouts) -> HttpResponse:
        self._process.reached("connector.before_send")
        self.in_flight += 1
        try:
            response = await channel.exchange(request, timeouts=timeouts)
        finally:
            self.in_flight -= 1
            self._over()
        self._process.reached("connector.after_answer")
        return response


def _until(ends: float, timeouts: Timeouts) -> Timeouts:
    return replaced(timeouts, total_seconds=max(0.0, ends - trio.current_time()))


def not_sent(code: str, message: str, error_class: ErrorClass = ErrorClass.NOT_SENT) -> NotExecuted:
    """That surely not a byte of it was sent, and why."""
    return NotExecuted(failure=Failure(error_class=error_class, code=code, message=message), sent=False)
