"""What is asked of a Restate server, by HTTP: its ingress, which takes calls, and its admin, which tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from automa.errors import EngineError

if TYPE_CHECKING:
    from automa.engines.restate.names import Target

_INGRESS_PORT, _ADMIN_PORT = 8080, 9070
_NOT_FOUND, _REFUSED, _BROKEN = 404, 400, 500
_PAUSES = (0.1, 0.2, 0.5, 1, 2, 4, 8)  # seconds
_TIMEOUT = 30.0  # seconds; what is asked here is answered at once


class Server:
    """A Restate server, or a cluster behind one address.

    Args:
        url: ``restate://HOST[:PORT]``, the ingress; with ``?admin=PORT`` or ``?admin=URL``.
        admin_url: Where its admin is; by default port 9070 of the same host.

    Attributes:
        ingress_url: Where calls go.
        admin_url: Where it is asked.

    Raises:
        EngineError: Where the URL is not of that form.
    """

    def __init__(self, url: str, *, admin_url: str | None = None) -> None:
        if "@" in f"{url}{admin_url or ''}":  # they would show in messages, and the server asks for none
            raise EngineError("the URL of a Restate server has no user or password in it: it asks for none")
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port or _INGRESS_PORT
        except ValueError:
            host = None
        if parts.scheme != "restate" or host is None:
            raise EngineError(
                f"{url!r} is no address of a Restate server: write restate://HOST:{_INGRESS_PORT}, with "
                f"?admin=PORT where its admin is not at {_ADMIN_PORT}"
            )
        host = f"[{host}]" if ":" in host else host
        admin = admin_url or parse_qs(parts.query).get("admin", [str(_ADMIN_PORT)])[0]
        self.ingress_url: str = f"http://{host}:{port}"
        self.admin_url: str = f"http://{host}:{admin}" if admin.isdecimal() else admin.rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, target: Target, handler: str, argument: object) -> bool:
        """Have a handler called, durably; return whether that is news.

        Raises:
            EngineError: Where no worker has registered such a service, or the server cannot be used.
        """
        path = f"/{target.service}/{quote(target.key)}/{handler}/send"
        answer = self._ask("POST", self.ingress_url, path, json=argument)
        return str(answer["status"]) != "PreviouslyAccepted"

    def is_known(self, target: Target) -> bool:
        """Whether there is a run of that name."""
        return self._look(target, "output", _TIMEOUT).status_code != _NOT_FOUND

    def wait(self, target: Target, timeout: float) -> None:
        """Wait until a run has ended, or for some seconds."""
        try:
            self._look(target, "attach", timeout)
        except EngineError as error:
            if not isinstance(error.__cause__, httpx.ReadTimeout):
                raise

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the tables of the server, as its reference describes them; return the rows.

        A server that has just been started, or whose cluster has lost a node, answers after a moment.
        """
        for pause in _PAUSES:
            answer = self._request("POST", self.admin_url, "/query", json={"query": sql})
            if answer.status_code < _BROKEN:
                break
            time.sleep(pause)
        rows: list[dict[str, Any]] = _checked(answer)["rows"]
        return rows

    def services(self) -> list[str]:
        """Return the services that workers have registered."""
        found = self._ask("GET", self.admin_url, "/services")["services"]
        return [each["name"] for each in found]

    def register(self, uri: str) -> None:
        """Tell the server where workers are, and have it ask them for their services."""
        self._ask("POST", self.admin_url, "/deployments", json={"uri": uri, "force": True})

    def _look(self, target: Target, what: str, timeout: float) -> httpx.Response:
        path = f"/restate/workflow/{target.service}/{quote(target.key)}/{what}"
        return self._request("GET", self.ingress_url, path, timeout=timeout)

    def _ask(self, method: str, base: str, path: str, *, json: object = None) -> Any:
        return _checked(self._request(method, base, path, json=json))

    def _request(
        self, method: str, base: str, path: str, *, json: object = None, timeout: float = _TIMEOUT
    ) -> httpx.Response:
        headers = {"accept": "application/json"}
        limits = httpx.Timeout(_TIMEOUT, read=timeout)
        try:
            return self._client.request(method, base + path, json=json, headers=headers, timeout=limits)
        except httpx.HTTPError as error:
            raise EngineError(
                f"the Restate server at {base} cannot be reached ({error}): is it running, and is that its "
                f"{'admin' if base == self.admin_url else 'ingress'}?"
            ) from error


def text(value: str) -> str:
    """Return a text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def _checked(answer: httpx.Response) -> Any:
    """Return what the server answers.

    Raises:
        EngineError: Where it refuses.
    """
    if answer.status_code >= _REFUSED:
        asked = f"{answer.request.method} {answer.request.url}"
        raise EngineError(f"the Restate server refuses {asked}: {_said(answer)}")
    return answer.json() if answer.content else None


def _said(answer: httpx.Response) -> str:
    """Return what a server says of its refusal."""
    try:
        said: object = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        said = answer.text
    return f"{answer.status_code} {said}".strip()
