"""The calls about dead letters, as data: as in `calls`, which puts them with the others.

Not here: the document made of them (`payorch.api.openapi`).
"""

from __future__ import annotations

from typing import Final

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations import dead_letters
from payorch.api.operations.dead_letter_shapes import DeadLetterList, WholeDeadLetterShape
from payorch.api.problems import Code

DEAD_LETTER_CALLS: Final = (
    Call(
        method="get",
        path="/ops/v1/dead-letters",
        name="listDeadLetters",
        summary="Dead letters, newest first",
        tells="group=fingerprint answers one member for all that failed alike, in one page. Takes the role viewer, as does the next.",
        parameters=dead_letters.LIST_PARAMETERS,
        answers={200: ("A page.", DeadLetterList)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/dead-letters/{letter_id}",
        name="getDeadLetter",
        summary="One dead letter, with its contents",
        tells="Replaying and discarding are acts: what may be asked for stands with it.",
        answers={200: ("The letter.", WholeDeadLetterShape)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
)
