"""What travels in a request's scope, such as the route that was taken: metrics and logs name it, never the path."""

from __future__ import annotations

from starlette.routing import Match, Route
from starlette.types import Scope

ROUTE = "modelimg.route"
"""The path of the route that was taken."""
ROWS = "modelimg.rows"
"""How many rows a request has, once it was understood."""
LATE = "modelimg.late"
"""There where a request's body did not come in time."""


class NamedRoute(Route):
    """A route that leaves its path in the scope, with the parameters in braces, also where the method is wrong."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child[ROUTE] = self.path
        return match, child
