"""What the calls about dead letters are given in tests: letters and groups to be answered, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payorch.api.operations.dead_letters import DeadLetterSurroundings
from payorch.store.act_reads import ReplayAct
from payorch.store.dead_letters import Filter, Group
from payorch.store.items import DeadLetter


class Letters:
    """`letters`, `groups`, `replays`: what is answered. `asked`: each filter with its limit and cursor."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.groups: list[Group] = []
        self.replays: dict[str, ReplayAct] = {}
        self.asked: list[Any] = []

    def surroundings(self) -> DeadLetterSurroundings:
        return DeadLetterSurroundings(find=self.find, groups=self.find_groups, load=self.load, last_replays=self.last_replays)

    async def find(self, what: Filter, *, limit: int, after: str | None) -> tuple[list[DeadLetter], str | None]:
        self.asked.append((what, limit, after))
        return self.letters[:limit], self.letters[limit - 1].id if len(self.letters) > limit else None

    async def find_groups(self, what: Filter, *, limit: int) -> list[Group]:
        self.asked.append((what, limit, None))
        return self.groups[:limit]

    async def load(self, letter_id: str) -> DeadLetter | None:
        return next((one for one in self.letters if one.id == letter_id), None)

    async def last_replays(self, fingerprints: Sequence[str]) -> dict[str, ReplayAct]:
        return {key: value for key, value in self.replays.items() if key in fingerprints}
