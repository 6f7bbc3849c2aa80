"""What travels in a request's scope, such as the route that was taken: metrics and logs name it, never the path."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

ROUTE = "modelimg.route"
"""The path of the route that was taken."""
ROWS = "modelimg.rows"
"""How many rows a request has, once it was understood."""
LATE = "modelimg.late"
"""There where a request's body did not come in time."""


class NamedRoute(Route):
    """A route that leaves its path in the scope, with the parameters in braces, also where the method is wrong.

    Its endpoint's exceptions are for `edge.Edge`.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child[ROUTE] = self.path
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, without a layer that looks for exceptions."""
        if self.methods and scope["method"] not in self.methods:
            await super().handle(scope, receive, send)  # which says so
            return
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
