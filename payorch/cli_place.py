"""Which platform an operator's command talks to, and in whose name: what `ops` and `console` share.

Not here: the commands (`cli_ops`, `cli_console`), people's work on a database without a platform (`cli_desk`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import Parameter

from payorch.cli_desk import TOKEN
from payorch.terminal import DEFAULT_DATA_DIR, CalledWrongly, CommandFailed

if TYPE_CHECKING:
    from payorch.operator_client import Place

URL: Final = "PAYORCH_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The options that all of these commands have."""

    url: Annotated[str | None, Parameter(help=f"the platform's address [default: {URL}, else the local stack's]")] = None
    token: Annotated[str | None, Parameter(help=f"the operator's token [default: {TOKEN}, else the local stack's]")] = None
    as_: Annotated[str | None, Parameter(name="--as", help="as this operator of the local stack [default: its first]")] = None
    data_dir: Annotated[Path, Parameter(name="--data-dir", help="of the local stack")] = DEFAULT_DATA_DIR

    def place(self) -> Place:
        """As `place_of`."""
        return place_of(self)


At: TypeAlias = Annotated[Where, Parameter(name="*")]
HERE: Final = Where()


def place_of(where: Where) -> Place:
    """Where to ask and as whom: as given, as the environment says, or as `payorch up` left it in its data folder.

    Raises CalledWrongly, CommandFailed.
    """
    from payorch import local
    from payorch.keys import Secret
    from payorch.operator_client import Place

    data_dir = where.data_dir
    if where.as_ is not None and where.token is not None:
        raise CalledWrongly("--as NAME is for the local stack, and does not go with --token")
    base_url = where.url or os.environ.get(URL)
    text = where.token or (None if where.as_ is not None else os.environ.get(TOKEN))
    known = local.read_credentials(data_dir) if base_url is None or text is None else {}
    if base_url is None:
        base_url = known.get("base_url")
    if text is None:
        text = _token_in(known, where.as_, data_dir)
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        raise CalledWrongly(f"which platform? --url or {URL}, or the --data-dir of a local stack ({data_dir} has no credentials.json)")
    return Place(base_url=base_url.rstrip("/"), token=Secret(text))


def _token_in(known: dict[str, object], as_: str | None, data_dir: Path) -> str:
    operators = known.get("operators")
    if not isinstance(operators, dict) or not operators:
        raise CalledWrongly(f"as whom? --token or {TOKEN}, or --as NAME with the --data-dir of a local stack")
    name = next(iter(operators)) if as_ is None else as_
    found = operators.get(name)
    if not isinstance(found, dict) or not isinstance(found.get("token"), str):
        raise CommandFailed(f"{data_dir} knows no operator {name}; it knows: {', '.join(operators)}")
    return str(found["token"])
