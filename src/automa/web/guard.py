"""Who may see and do what: each request passes here before any page is made.

A page that operates runs is worth an attack from any other page that its user opens. So a request must name
a host that is ours (else a name of the attacker's could be made to lead here), show that it knows the token,
and, where it changes anything, come from a form of ours. What is sent may load, run and send nothing but what
is ours.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Form = dict[str, str]
    Refuse = Callable[[int, str], ASGIApp]

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
            b"img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With no-referrer a browser would not tell the origin of our own forms either (Fetch: "Origin: null").
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""What each response says about itself."""

MOST_BYTES = 64 * 1024
"""How large a form may be."""
_MOST_FIELDS = 20
_SESSION_SECONDS = 12 * 3600


class Policy(NamedTuple):
    """What is allowed.

    Attributes:
        hosts: The names, with ports, under which this server may be asked.
        token: What whoever comes must know; None where everybody may come who reaches it.
        is_read_only: Whether nothing may be changed.
        cookie: The name of the cookie for a session: browsers share cookies between ports.
        key: What sessions are signed with, made anew for each server.
    """

    hosts: frozenset[str]
    token: str | None
    is_read_only: bool
    cookie: str
    key: bytes

    def new_session(self) -> str:
        """Return the text of a new session's cookie."""
        body = f"{int(time.time())}.{secrets.token_urlsafe(16)}"
        return f"{body}.{self._signature('session', body)}"

    def is_session(self, text: str) -> bool:
        """Whether a text is the cookie of a session of ours that is not too old."""
        body, _, signature = text.rpartition(".")
        began = body.partition(".")[0]
        is_ours = _is_same(signature, self._signature("session", body))
        return is_ours and time.time() - int(began) < _SESSION_SECONDS

    def csrf(self, session: str) -> str:
        """Return what a form of a session carries to show that it is ours."""
        return self._signature("form", session)

    def _signature(self, purpose: str, text: str) -> str:
        message = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()


class Guard:
    """Lets through what is allowed.

    To the application go, in the scope: ``automa.csrf``, what forms carry; ``automa.cookies``, the cookies by
    name; ``automa.form``, the fields of a form that was sent.

    Args:
        app: The application.
        policy: What is allowed.
        refuse: Returns the response with a status and a reason.
    """

    def __init__(self, app: ASGIApp, policy: Policy, refuse: Refuse) -> None:
        self._app = app
        self._policy = policy
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added: list[tuple[bytes, bytes]] = []

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [pair for pair in message.get("headers", ()) if pair[0].lower() not in _OURS]
                message = {**message, "headers": [*own, *HEADERS, *added]}
            await send(message)

        answer = await self._answer(scope, receive, added)
        await answer(scope, receive, send_guarded)

    async def _answer(self, scope: Scope, receive: Receive, added: list[tuple[bytes, bytes]]) -> ASGIApp:
        """Return what answers a request: the application, or a refusal."""
        headers = _headers(scope)
        if headers.get("host", "").lower() not in self._policy.hosts:
            return self._refuse(403, "This name does not belong to this server: see --allow-host.")
        method = scope["method"]
        if method not in {"GET", "HEAD"} and (method != "POST" or self._policy.is_read_only):
            why = "This server is read-only." if self._policy.is_read_only else f"There is no {method} here."
            return self._refuse(405, why)
        if scope["path"].startswith("/static/"):
            return self._app
        scope["automa.cookies"] = cookies = _cookies(headers)
        given = dict(parse_qsl(scope["query_string"].decode("ascii", "replace"))).get("token")
        if given is not None:
            return self._let_in(given, added)
        session = cookies.get(self._policy.cookie, "")
        if not self._policy.is_session(session):
            if self._policy.token is not None:
                return self._refuse(401, _NO_SESSION)
            session = self._policy.new_session()
            added.append(self._cookie_for(session))
        scope["automa.csrf"] = self._policy.csrf(session)
        return self._app if method != "POST" else await self._checked_form(scope, receive, headers)

    def _let_in(self, given: str, added: list[tuple[bytes, bytes]]) -> ASGIApp:
        """Give a session for the token, and lead away from the address with the token in it."""
        if self._policy.token is None or not _is_same(given, self._policy.token):
            return self._refuse(
                403, "This token is not that of this server: it makes a new one each time it starts."
            )
        added.append(self._cookie_for(self._policy.new_session()))
        added.append((b"location", b"/"))
        return _see_other

    def _cookie_for(self, session: str) -> tuple[bytes, bytes]:
        return b"set-cookie", cookie(self._policy.cookie, session)

    async def _checked_form(self, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> ASGIApp:
        """Return the application, where a form is one of ours."""
        scheme, _, host = headers.get("origin", "").partition("://")
        if scheme not in {"http", "https"} or host.lower() not in self._policy.hosts:
            return self._refuse(403, "This form was not sent from a page of this server.")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return self._refuse(415, "This is no form.")
        body = await _body(receive)
        if body is None:
            return self._refuse(413, f"This form has more than {MOST_BYTES} bytes.")
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
            )
        except ValueError:
            return self._refuse(400, "This form cannot be read.")
        form = dict(pairs)
        if not _is_same(form.pop("csrf", ""), scope["automa.csrf"]):
            return self._refuse(403, "This form is out of date: open its page again.")
        scope["automa.form"] = form
        return self._app


_NO_SESSION = (
    "This page needs the address with the token, which  automa ui  printed when it was started. "
    "If you have just come here by that address from another site, go on with the link below."
)
_OURS = frozenset(name for name, _ in HEADERS)


def cookie(name: str, value: str, *, seconds: int | None = None) -> bytes:
    """Return a cookie that scripts do not see, and that other sites do not have sent.

    Args:
        name: Its name.
        value: Its value.
        seconds: How long it is kept; by default until the browser ends.
    """
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}".encode("ascii")


def _is_same(given: str, known: str) -> bool:
    """Whether two texts are the same, told in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode("utf-8", "surrogatepass"))


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by name; one that is there twice is not believed."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = f"{found[key]}; {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None where it is too large."""
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return body


async def _see_other(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 303, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def hosts_of(host: str, port: int, allowed: Iterable[str]) -> frozenset[str]:
    """Return the names under which a server may be asked.

    Args:
        host: The address at which it listens.
        port: The port.
        allowed: Further names, as a browser sends them: with the port, unless it is the usual one.
    """
    literal = f"[{host}]" if ":" in host else host
    names = {literal, "127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {literal}
    return frozenset({f"{name}:{port}" for name in names} | {each.lower() for each in allowed})


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return host in {"localhost", "::1"} or host.startswith("127.")
