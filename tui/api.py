"""Questions and writes over the operations API: one client, typed problems, bounded answers, and a log of every call as curl.

Not here: the stream (`tui.link`), and what may be asked for (`tui.acts`, the screens).
"""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from tui.clock import Clock

PREFIX: Final = "/ops/v1/"
LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of one answer. A page of 200 payments has 100 KiB; whatever is larger than this is not an answer of ours."""
CALLS_KEPT: Final = 200
"""Entries of the command log."""
TIMEOUT: Final = httpx2.Timeout(10.0, connect=5.0)
"""The operations API answers within a second; a screen that has waited ten says so."""

Query = Mapping[str, str | int | None]


class Problem(Exception):
    """What the server refused, or why it could not be asked. `status` is 0 where there was no answer at all."""

    def __init__(self, status: int, body: Mapping[str, Any], request_id: str | None = None) -> None:
        self.status: Final = status
        self.body: Final = dict(body)
        self.request_id: Final = str(body.get("request_id") or request_id or "") or None
        super().__init__(self.title)

    @property
    def title(self) -> str:
        return str(self.body.get("title") or f"HTTP {self.status}")

    @property
    def detail(self) -> str:
        return str(self.body.get("detail") or "")

    @property
    def code(self) -> str:
        return str(self.body.get("code") or "")

    @property
    def money_moved(self) -> str:
        """yes, no or unknown. Reading moves none; only a write that nobody answered is unknown."""
        return str(self.body.get("money_moved") or "no")

    @property
    def denied(self) -> bool:
        return self.status in (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One line of the command log."""

    at: str
    method: str
    path: str
    status: int
    request_id: str | None
    milliseconds: int
    curl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A write's result. `replayed`: the server had carried it out before, under the same key."""

    status: int
    data: dict[str, Any]
    replayed: bool = False
    request_id: str | None = None


@dataclass(slots=True)
class CommandLog:
    """Every call that this console made, newest last, without secrets."""

    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))


class Api:
    """The operations API with one operator's token."""

    def __init__(self, client: httpx2.AsyncClient, token: str, clock: Clock, log: CommandLog) -> None:
        self.client: Final = client
        self._token = token
        self._clock: Final = clock
        self._log: Final = log

    def renew(self, token: str) -> None:
        """From now on with this token (the idle lock asks for it again)."""
        self._token = token

    def with_token(self, token: str) -> Api:
        """The same API as another bearer, to ask whether a token is good."""
        return Api(self.client, token, self._clock, self._log)

    def is_token(self, text: str) -> bool:
        return bool(text) and text == self._token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """A page. Raises Problem."""
        _, data, _ = await self._call("GET", path, query=query)
        return data

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        """A write, with the idempotency key under which it may be sent again. Raises Problem."""
        headers = {} if key is None else {"Idempotency-Key": key}
        if match is not None:
            headers["If-Match"] = f'"{match}"'
        status, data, answered = await self._call("POST", path, body=body, headers=headers)
        replayed = answered.get("Idempotency-Replayed", "").lower() == "true"
        return Answer(status=status, data=data, replayed=replayed, request_id=answered.get("X-Request-Id"))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        began = self._clock.monotonic()
        params = {name: str(value) for name, value in (query or {}).items() if value is not None and value != ""}
        sent = {"method": method, "path": path, "query": params, "body": body, "headers": headers or {}}
        status, request_id = 0, None
        try:
            async with self.client.stream(
                method, PREFIX + path, params=params, json=body, headers={**self.headers, **(headers or {})}
            ) as response:
                status, request_id = response.status_code, response.headers.get("X-Request-Id")
                data = await _bounded(response)
        except httpx2.HTTPError as error:
            raise Problem(0, no_answer(error, wrote=method != "GET")) from error
        finally:
            self._note(sent, status, request_id, began)
        if status >= 400:
            raise Problem(status, data, request_id)
        return status, data, response.headers

    def _note(self, sent: Mapping[str, Any], status: int, request_id: str | None, began: float) -> None:
        milliseconds = round((self._clock.monotonic() - began) * 1000)
        at = self._clock.now().isoformat(timespec="milliseconds")
        made = curl(str(self.client.base_url), sent["method"], sent["path"], sent["query"], sent["body"], sent["headers"])
        self._log.calls.append(
            Call(
                at=at,
                method=sent["method"],
                path=sent["path"],
                status=status,
                request_id=request_id,
                milliseconds=milliseconds,
                curl=made,
            )
        )


async def _bounded(response: httpx2.Response) -> dict[str, Any]:
    """The body as a JSON object; what is too large or is none becomes a problem of its own."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise Problem(response.status_code, _broken(f"the answer is larger than {LARGEST_ANSWER} bytes"))
    try:
        data = json.loads(bytes(body)) if body else {}
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Problem(response.status_code, _broken(f"HTTP {response.status_code} without a JSON object: is this the operations API?"))
    return data


def _broken(detail: str) -> dict[str, str]:
    return {"title": "the answer cannot be read", "detail": detail, "code": "answer_unreadable"}


def no_answer(error: Exception, *, wrote: bool) -> dict[str, str]:
    """A problem for a call without an answer. After a write nobody knows what was done: the same key tells."""
    return {
        "title": f"no answer from the operations API ({type(error).__name__})",
        "detail": "It is not known whether it was carried out. Send it again: the same key is carried out once."
        if wrote
        else "r asks again.",
        "code": "no_answer",
        "money_moved": "unknown" if wrote else "no",
    }


def curl(base: str, method: str, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]) -> str:
    """The call as a command for a shell, with the token by name and never by value."""
    url = base.rstrip("/") + PREFIX + path + (f"?{urlencode(query)}" if query else "")
    words = ["curl", "-sS", "-X", method, shlex.quote(url), "-H", '"Authorization: Bearer $PAYORCH_OPS_TOKEN"']
    for name, value in headers.items():
        words += ["-H", shlex.quote(f"{name}: {value}")]
    if body is not None:
        words += ["-H", shlex.quote("Content-Type: application/json"), "-d", shlex.quote(json.dumps(body, ensure_ascii=True))]
    return " ".join(words)
