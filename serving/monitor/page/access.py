"""Who may read the page: on the loopback address this machine's users, elsewhere who has the token.

`components/style_renderer/studio/security.py` guards the studio, which is changed through its page: it also checks
where a request comes from, takes its token at `/` alone, and has rights of its own. Hence two guards.
"""

import hmac
import ipaddress
import socket
import urllib.parse

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.web.headers import SECURITY_HEADERS

PARAMETER = "token"
COOKIE = "atelier_monitor"


class Access:
    """Middleware that answers 403 to a wrong token, and 400 to a host name that is not this machine's.

    A page of another site can point its name at this machine (DNS rebinding): requests then come from this machine, but
    name that site as their host. An IP address as host cannot be such a name.
    """

    def __init__(self, app: ASGIApp, token: str = "", host: str = "") -> None:
        """Wraps an application.

        Args:
          app: the application.
          token: that requests must have, in the URL or in the cookie that it becomes; "": none.
          host: that the server listens on.
        """
        self._app, self._token = app, token
        self._names = (
            {"localhost", host, socket.gethostname().lower(), socket.getfqdn().lower()} if token else {"localhost"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the application answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope)
        refusal = self._check_host(request) or self._check_token(request)
        await (refusal or self._app)(scope, receive, send)

    def _check_host(self, request: Request) -> Response | None:
        name = (urllib.parse.urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        if name in self._names or self._is_address(name):
            return None
        return PlainTextResponse("this name is not one of this machine\n", 400, SECURITY_HEADERS)

    def _is_address(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return bool(self._token) or address.is_loopback

    def _check_token(self, request: Request) -> Response | None:
        if not self._token:
            return None
        given = request.query_params.get(PARAMETER)
        if self._is_right(given):
            if request.url.path != "/":
                return None
            # Out of the address bar and the history; a script cannot read the cookie.
            answer = RedirectResponse(".", 303, SECURITY_HEADERS)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return answer
        if self._is_right(request.cookies.get(COOKIE)):
            return None
        return PlainTextResponse(
            "open the address that `atelier monitor` printed, with its token\n", 403, SECURITY_HEADERS
        )

    def _is_right(self, given: str | None) -> bool:
        """Compares in constant time: the time of an answer tells nothing of the token."""
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())
