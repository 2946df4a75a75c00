"""What every request passes before it reaches a route: who may ask, from where, and what is noted of the answer."""

import hmac
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from translatotron_v.serve.limits import RefusedError
from translatotron_v.serve.metrics import Metrics

LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = ("/healthz", "/", "/page.css", "/page.js")  # without a token: they say nothing that the package does not say
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}


class Guard:
    """An ASGI application around another.

    Args:
        token: that requests carry as `Authorization: Bearer`, "": none is asked for.
        hosts: names that a browser may know the service by (against DNS rebinding); "*": any.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str = "", hosts: Iterable[str] = LOOPBACK) -> None:
        self.app, self.metrics, self.token, self.hosts = app, metrics, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
        except RefusedError as error:
            self.metrics.note_refusal(error.code)
            await JSONResponse(error.as_json(), error.status, error.headers)(scope, receive, noted)
        else:
            await self.app(scope, receive, noted)
        path = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        self.metrics.note_request(method, path, status, time.monotonic() - started)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if "*" not in self.hosts and _name(host) not in self.hosts:
            raise RefusedError(403, "unknown_host", "this service does not go by that name; see --allow-host")
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in ("GET", "HEAD") and urlsplit_host(origin) != host.lower():
            raise RefusedError(403, "other_origin", "requests of other sites' pages are refused")
        if self.token and scope["path"] not in OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                raise RefusedError(
                    401, "no_token", "a token is wanted: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
                )


def urlsplit_host(origin: str) -> str:
    """Host and port of an origin, "" where it is none, such as "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
