"""The pages, and what answers where."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from automa.errors import AutomaError, JournalError, RunNotFoundError, RunRequestError, text_of
from automa.journal.journal import RUNNING
from automa.journal.telling import INTERRUPTED, age_of, plain, shown_status
from automa.operations import STATUSES
from automa.pictures.words import span
from automa.web.acting import Asked, Choice, Kind
from automa.web.guard import Guard, cookie
from automa.web.live import Glance, Streams, mark_of
from automa.web.seeing import in_words, page_of
from automa.web.source import at_cursor, cursor_of, filter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from automa._core.protocols import RunFilter, RunInfo
    from automa.web.acting import Crew
    from automa.web.guard import Policy
    from automa.web.source import Seen, Source

_WHO = "automa_who"
_A_YEAR = 365 * 24 * 3600
_MOST_STREAMS = 64
_RUN_PAUSE, _LIST_PAUSE, _FAR_PAUSE = 0.5, 2.0, 3.0  # seconds between two looks for a page that is open
_MOST_SEARCHED, _MOST_WHO, _MOST_WHY = 200, 100, 2000  # characters

_ENDINGS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

_TITLES = {
    Kind.RESUME: "Resume",
    Kind.CANCEL: "Cancel",
    Kind.ROLLBACK: "Roll back",
    Kind.RETRY_UNDO: "Retry undo",
    Kind.MARK_UNDONE: "Mark done",
}


class Site:
    """The pages about the runs of a store, or of an engine.

    Args:
        source: Where the runs are.
        crew: Who does what operators ask.
        policy: Who may see and do what.
    """

    def __init__(self, source: Source, crew: Crew, policy: Policy) -> None:
        self._source = source
        self._crew = crew
        self._policy = policy
        self._pages = _environment()
        self._static = {
            each.name: each.read_bytes()
            for each in resources.files("automa.web").joinpath("static").iterdir()
        }
        self.streams: Streams = Streams(_MOST_STREAMS)
        self.app: ASGIApp = Guard(self._application(), policy, self._refused)

    def _application(self) -> Starlette:
        routes = [
            Route("/", self.runs),
            Route("/run", self.run),
            Route("/ask", self.ask),
            Route("/act", self.act, methods=["POST"]),
            Route("/live/runs", self.live_runs),
            Route("/live/run", self.live_run),
            Route("/static/{name}", self.static),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: self._http_error,
                AutomaError: self._automa_error,
                Exception: self._defect,
            },
        )

    # Pages

    def runs(self, request: Request) -> Response:
        """Answer with a page of the list of runs."""
        query = _Query.of(request.query_params)
        slice_ = self._source.page(*query.place)
        runs = slice_.runs
        return self._page(
            "runs.html",
            request,
            query=query,
            runs=runs,
            now=datetime.now(UTC),
            statuses=[*STATUSES[:1], INTERRUPTED, *STATUSES[1:], "done"],
            workflow_ids=sorted({*self._crew.workflow_ids, *(info.workflow_id for info in runs)}),
            newer=query.url(after=cursor_of(runs[0])) if runs and slice_.has_newer else None,
            older=query.url(before=cursor_of(runs[-1])) if runs and slice_.has_older else None,
            first=query.url() if query.before is not None or query.after is not None else None,
            mark=mark_of(runs),
            live=f"/live/runs?{request.url.query}",
        )

    def run(self, request: Request) -> Response:
        """Answer with the page of a run."""
        workflow_id, run_id = _ids(request.query_params)
        glance = self._glance_at_run(workflow_id, run_id)  # first: what changes meanwhile is seen then
        seen = self._source.see(workflow_id, run_id)
        shows_all = "all" in request.query_params
        return self._page(
            "run.html",
            request,
            info=seen.info,
            seen=seen,
            page=page_of(seen, shows_all=shows_all),
            choices=self._crew.choices(seen),
            deed=self._crew.deed(workflow_id, run_id),
            asked_cancel=self._source.asked_cancel(workflow_id, run_id),
            now=datetime.now(UTC),
            mark=glance.mark,
            live=f"/live/run?{request.url.query}",
        )

    def ask(self, request: Request) -> Response:
        """Answer with a page that asks before anything is done."""
        if self._policy.is_read_only:
            raise HTTPException(403, "This server is read-only.")
        seen, choice = self._chosen(request.query_params)
        return self._ask(request, seen, choice)

    def _ask(  # noqa: PLR0913, PLR0917  # what the page shows
        self,
        request: Request,
        seen: Seen,
        choice: Choice,
        why: str = "",
        problem: str = "",
        status: int = 200,
    ) -> Response:
        who = unquote(request.scope["automa.cookies"].get(_WHO, "")) or _local_user()
        return self._page(
            "ask.html",
            request,
            status=status,
            info=seen.info,
            choice=choice,
            without_undo=seen.reading.begun.without_undo,
            who=request.scope.get("automa.form", {}).get("who", who)[:_MOST_WHO],
            why=why,
            problem=problem,
        )

    def act(self, request: Request) -> Response:
        """Do what a form asks for, and lead to the page of the run."""
        form: dict[str, str] = request.scope["automa.form"]
        seen, choice = self._chosen(request.query_params)
        who, why = " ".join(form.get("who", "").split()), form.get("why", "").strip()
        missing = "Who asks?" if not who else "Why? It is recorded." if not why else ""
        if missing:
            return self._ask(request, seen, choice, why, missing, 400)
        asked = Asked(
            choice.kind,
            seen.info.workflow_id,
            seen.info.run_id,
            choice.step,
            who[:_MOST_WHO],
            why[:_MOST_WHY],
        )
        try:
            self._crew.do(asked)
        except AutomaError as error:
            return self._ask(request, seen, choice, why, f"Nothing was done: {text_of(error)}", 409)
        response = RedirectResponse(_run_url(seen.info), 303)
        told = cookie(_WHO, quote(asked.who, safe=""), seconds=_A_YEAR)
        response.raw_headers.append((b"set-cookie", told))
        return response

    def _chosen(self, given: Mapping[str, str]) -> tuple[Seen, Choice]:
        """Return the run, and what is to be asked of it.

        Raises:
            HTTPException: Where that is nothing that could be.
        """
        seen = self._source.see(*_ids(given))
        try:
            kind = Kind(given.get("kind", ""))
        except ValueError:
            raise HTTPException(400, "Nothing of that kind can be asked of a run.") from None
        step = given.get("step", "")
        for choice in self._crew.choices(seen):
            if (choice.kind, choice.step) == (kind, step):
                return seen, choice
        raise RunRequestError(
            f"{_TITLES[kind]}{f' {step}' if step else ''}: as the run stands this cannot be asked; "
            "look how it stands now"
        )

    # Events

    async def live_runs(self, request: Request) -> Response:
        """Answer with events: the list has changed."""
        query = _Query.of(request.query_params)
        pause = _FAR_PAUSE if self._source.is_far else _LIST_PAUSE
        return self._events(request, lambda: Glance(mark_of(self._source.page(*query.place).runs)), pause)

    async def live_run(self, request: Request) -> Response:
        """Answer with events: the run has gone on."""
        workflow_id, run_id = _ids(request.query_params)
        pause = _FAR_PAUSE if self._source.is_far else _RUN_PAUSE
        return self._events(request, lambda: self._glance_at_run(workflow_id, run_id), pause)

    def _events(self, request: Request, glance: Callable[[], Glance], pause: float) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if not self.streams.has_room():
            return Response("There are too many pages open.", 503, {"retry-after": "10"}, "text/plain")
        return StreamingResponse(
            self.streams.events(glance, pause),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},  # a reverse proxy is to pass each on at once
        )

    def _glance_at_run(self, workflow_id: str, run_id: str) -> Glance:
        info, progress = self._source.glance(workflow_id, run_id)
        deed = self._crew.deed(workflow_id, run_id)
        doing = None if deed is None else (deed.at, deed.is_over, deed.problem, deed.turned_back)
        is_going = deed is not None and not deed.is_over
        is_over = not is_going and not info.is_owned and info.status not in _GOING_ON
        return Glance(mark_of(info, progress, doing, self._source.asked_cancel(workflow_id, run_id)), is_over)

    # The rest

    def static(self, request: Request) -> Response:
        """Answer with a file."""
        name = request.path_params["name"]
        if name not in self._static:
            raise HTTPException(404)
        return Response(self._static[name], media_type=_ENDINGS[name.rpartition(".")[2]])

    def _page(self, template: str, request: Request | None, status: int = 200, **values: Any) -> Response:
        csrf = "" if request is None else request.scope.get("automa.csrf", "")
        html = self._pages.get_template(template).render(
            csrf=csrf,
            is_read_only=self._policy.is_read_only,
            is_engine=self._source.engine is not None,
            **values,
        )
        return Response(html.encode("utf-8", "backslashreplace"), status, media_type="text/html")

    def _message(
        self, request: Request | None, status: int, title: str, text: str, back: str = "/"
    ) -> Response:
        return self._page("message.html", request, status, title=title, text=text, back=back)

    def _refused(self, status: int, why: str) -> ASGIApp:
        response = self._message(None, status, _REFUSALS.get(status, "Refused"), why)
        if status == _METHOD_NOT_ALLOWED:
            response.headers["allow"] = "GET, HEAD" if self._policy.is_read_only else "GET, HEAD, POST"
        return response

    def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for those
        is_missing = error.status_code == _NOT_FOUND
        text = "There is no such page here." if is_missing else error.detail
        return self._message(request, error.status_code, _REFUSALS.get(error.status_code, "Refused"), text)

    def _automa_error(self, request: Request, error: Exception) -> Response:
        status, title = next(
            (told for kind, told in _PROBLEMS.items() if isinstance(error, kind)),
            (503, "The runs cannot be read"),
        )
        return self._message(request, status, title, text_of(error))

    def _defect(self, request: Request, error: Exception) -> Response:
        text = f"This is a defect of automa, please report it: {type(error).__name__}: {text_of(error)}"
        return self._message(request, 500, "Something went wrong", text)


_NOT_FOUND, _METHOD_NOT_ALLOWED = 404, 405
_GOING_ON = (RUNNING, "suspended", "infrastructure_error")
_REFUSALS = {
    401: "The token is missing",
    403: "This is not allowed",
    404: "There is nothing here",
    405: "This cannot be done here",
    413: "This is too large",
}
_PROBLEMS: dict[type[AutomaError], tuple[int, str]] = {
    RunNotFoundError: (404, "There is no such run"),
    RunRequestError: (409, "This cannot be asked now"),
    JournalError: (500, "The journal of this run cannot be read"),
}


class _Query(NamedTuple):
    """Which page of which list is asked for."""

    status: str
    workflow: str
    text: str
    before: RunInfo | None
    after: RunInfo | None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> _Query:
        """Read what an address says.

        Raises:
            HTTPException: Where it makes no sense.
        """
        status = given.get("status", "")
        if status not in {"", "done", INTERRUPTED, "unreadable", *STATUSES}:
            raise HTTPException(400, f"There is no status {status!r}.")
        try:
            before, after = (
                at_cursor(given[name]) if given.get(name) else None for name in ("before", "after")
            )
        except ValueError:
            raise HTTPException(400, "This address names no place in the list.") from None
        text = given.get("q", "").strip()[:_MOST_SEARCHED]
        return cls(status, given.get("workflow", "").strip(), text, before, None if before else after)

    @property
    def place(self) -> tuple[RunFilter, RunInfo | None, RunInfo | None]:
        """What `Source.page` takes."""
        return filter_of(self.status, self.workflow, self.text), self.before, self.after

    def url(self, **place: str) -> str:
        """Return the address of a page of the same list."""
        given = {"status": self.status, "workflow": self.workflow, "q": self.text, **place}
        query = urlencode({name: value for name, value in given.items() if value}, errors="backslashreplace")
        return f"/?{query}" if query else "/"


def _ids(given: Mapping[str, str]) -> tuple[str, str]:
    """Return the ids of a workflow and a run.

    Raises:
        HTTPException: Where they are missing.
    """
    if not given.get("run"):
        raise HTTPException(400, "This address names no run.")
    return given.get("workflow", ""), given["run"]


def _run_url(info: RunInfo, **more: str) -> str:
    return f"/run?{_query_of(info, **more)}"


def _query_of(info: RunInfo, **more: str) -> str:
    ids = {"workflow": info.workflow_id, "run": info.run_id, **more}
    return urlencode(ids, errors="backslashreplace")


def _ask_url(info: RunInfo, choice: Choice) -> str:
    return f"/ask?{_query_of(info, kind=choice.kind.value, step=choice.step)}"


def _act_url(info: RunInfo, choice: Choice) -> str:
    """Return where a form goes: ids are in the address, since browsers change line ends in fields."""
    return f"/act?{_query_of(info, kind=choice.kind.value, step=choice.step)}"


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # the user has no name
        return ""


def _environment() -> jinja2.Environment:
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("automa.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    pages.filters |= {"words": in_words, "took": span, "age": age_of, "clock": _clock, "iso": _iso}
    pages.globals |= {
        "shown_status": shown_status,
        "run_url": _run_url,
        "ask_url": _ask_url,
        "act_url": _act_url,
        "titles": _TITLES,
        "kinds": Kind,
    }
    return pages


def _clock(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _iso(time: datetime | None) -> str:
    return "" if time is None else time.astimezone(UTC).isoformat()
