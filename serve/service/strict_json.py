"""Bodies as JSON in which no name occurs twice: which of two bars was meant nobody could say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

_SHOWN = 64


class StrictRoute(APIRoute):
    """A route whose body is read by `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request of ours."""
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await original(StrictRequest(request.scope, request.receive))

        return handle


class StrictRequest(Request):
    """A request whose JSON is refused where an object has two values of one name."""

    async def json(self) -> Any:
        """The body's value; json's own errors where it is none.

        Raises:
            HTTPException: 422, a name occurs twice.
        """
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body(), object_pairs_hook=_object)
        return self._json


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise HTTPException(422, f"The name {twice[:_SHOWN]!r} occurs twice in one object: send each once.")
    return found
