"""Who may talk to the studio: this machine's own pages, or whoever has the token where it listens elsewhere.

`serving/monitor/page/access.py` guards a page that only reads, and says how the two differ.
"""

import secrets
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
COOKIE = "atelier-studio"

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_CHANGING = ("POST", "PUT", "DELETE")


class Guard:
    """Lets requests through that may be answered, and sends the security headers with every answer."""

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        """Guards `app`; a token is asked for unless it is "", and then the host may have any name."""
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        refused = self._refuse(scope)
        await (refused or self._app)(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # A page of another site that lets its name point here must not read this one.
        if not self._token and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return PlainTextResponse("this name is not the studio's; open it as localhost\n", 400)
        if self._token:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and secrets.compare_digest(given.encode(), self._token.encode()):
                answer = RedirectResponse("/", 303)
                answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
                return answer
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            if not cookie or not secrets.compare_digest(cookie.value.encode(), self._token.encode()):
                return PlainTextResponse("open the address that `atelier studio` has printed, with its token\n", 403)
        # A page of another site can send requests, but not without saying where it is from.
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if scope["method"] in _CHANGING and (
            (origin is not None and urlsplit(origin).netloc != host) or site not in ("same-origin", "none")
        ):
            return PlainTextResponse("another site's page may not do this\n", 403)
        return None
