"""Shoppers whose browsers came back and wait for what becomes of their payment: part of the payment's actor.

What a browser brings may be what finishes the payment, so it is tried at once, and again when a call that was under way is over: the two
answers could not be told apart. Whoever comes while that call is out waits for its answer too, and brings nothing to a second one.

Not here: whether such a call may be made (`payorch.domain.completion`), committing and sending it (`transaction`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, final

from actors.messages import ShopperReturned
from payorch.domain.payment import AttemptState
from payorch.domain.records import Payment

_WAITS: Final = frozenset({AttemptState.ACTION_REQUIRED, AttemptState.SENT})


@final
class Shoppers:
    """complete: commits and sends the call that finishes that attempt, from what was brought and for that cause; False where none is made.
    ask: sends an inquiry about that attempt. is_under_way: whether a call about it is out. payment: as it stands now.
    """

    def __init__(
        self,
        *,
        complete: Callable[[str, Mapping[str, str], str], Awaitable[bool]],
        ask: Callable[[str, str], Awaitable[None]],
        is_under_way: Callable[[str], bool],
        payment: Callable[[], Payment | None],
    ) -> None:
        self._complete = complete
        self._ask = ask
        self._is_under_way = is_under_way
        self._payment = payment
        self._waiting: list[ShopperReturned] = []
        self._brought: ShopperReturned | None = None  # what one of them brought, while it may still be of use

    async def came_back(self, message: ShopperReturned) -> None:
        """Finishes the payment where that takes us, or looks at once, where the attempt still waits for the shopper. Otherwise the payment
        as it stands is the answer, but for a completing call that is out.
        """
        payment = self._payment()
        attempt = next((one for one in payment.attempts if one.id == message.attempt_id), None) if payment is not None else None
        if attempt is None or attempt.state not in _WAITS:
            return message.reply_to.answer(payment)
        if attempt.state is AttemptState.ACTION_REQUIRED:
            self._brought = message
            if await self._complete(attempt.id, message.returned, message.cause):
                self._brought = None
            elif not self._is_under_way(attempt.id):
                await self._ask(attempt.id, message.cause)
        if not self._is_under_way(attempt.id):
            self._brought = None
            return message.reply_to.answer(self._payment())
        self._waiting.append(message)
        return None

    async def call_over(self) -> None:
        """Some call is over. What one of them brought meanwhile may finish the payment now; otherwise they go on with what is known."""
        brought, self._brought = self._brought, None
        if brought is not None and await self._complete(brought.attempt_id, brought.returned, brought.cause):
            return
        if await self.go_on_if_done("shopper_done"):
            return
        payment = self._payment()
        for message in self._waiting:
            message.reply_to.answer(payment)
        self._waiting.clear()

    async def go_on_if_done(self, cause: str) -> bool:
        """Has the payment finished where the PSP says that the shopper has done his part. False where nothing is sent for it."""
        payment = self._payment()
        attempt = payment.open_attempt if payment is not None else None
        return attempt is not None and attempt.ready and await self._complete(attempt.id, {}, cause)

    def anybody(self) -> bool:
        """Whether one of them still waits."""
        self._waiting = [one for one in self._waiting if not one.reply_to.settled]
        return bool(self._waiting)
