"""How a run looks while it goes on, and its report afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from automa._core.records import Answered, Begun, Ended, Started
from automa._core.status import Action, Outcome, Status
from automa.errors import text_of
from automa.journal.telling import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from automa._core.records import Record
    from automa._core.reports import StepReport, WorkflowReport
    from automa.observe.progress import StepCount

_STYLES = {Status.SUCCESS: "green", Status.FAILED: "bold red", Status.SKIPPED: "dim"}
_MARKS = {Status.SUCCESS: "✓", Status.FAILED: "✗", Status.SKIPPED: "-"}


class _QuietConsole(Console):
    """A console that falls silent where nobody reads it any more, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def quiet_console(**options: Any) -> Console:
    """Return a console that harms nobody, however its stream behaves.

    Args:
        **options: What ``rich.console.Console`` takes.
    """
    return _QuietConsole(**options)


class View:
    """An observer that keeps the report of the run, which is also there when the run was interrupted."""

    report: WorkflowReport | None = None

    def on_record(self, record: Record) -> None:
        """Show a record."""
        if isinstance(record, Ended):
            self.report = record.report
        elif isinstance(record, Answered):
            self.answered(record.path, record.report)
        elif isinstance(record, Started):
            self.started(record)
        elif isinstance(record, Begun):
            self.begun(record.run_id)

    def begun(self, run_id: str) -> None:
        """Show that a journaled run has begun."""

    def started(self, record: Started) -> None:
        """Show that a step starts."""

    def answered(self, path: str, report: StepReport) -> None:
        """Show what a step answered."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""


class PlainView(View):
    """A line for each action, where there is no terminal.

    Args:
        console: Where they are printed.
        is_verbose: Whether what an action has left in its report is printed too.
    """

    def __init__(self, console: Console, *, is_verbose: bool = False) -> None:
        self._console = console
        self._is_verbose = is_verbose

    def begun(self, run_id: str) -> None:
        """Print the id by which the run is found again."""
        self._console.print(f"run {run_id}", soft_wrap=True, markup=False, highlight=False)

    def answered(self, path: str, report: StepReport) -> None:
        """Print what a step answered."""
        for line in [_line(path, report), *(_details(report) if self._is_verbose else ())]:
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class LiveView(View):
    """The actions one below the other; beneath them those at work, and how far the run is.

    The way back is in another colour, and has another mark.

    Args:
        console: The terminal.
        steps: Counts the steps that are done.
        is_verbose: As for `PlainView`.
    """

    def __init__(self, console: Console, steps: StepCount, *, is_verbose: bool = False) -> None:
        self._steps = steps
        self._is_verbose = is_verbose
        self._at_work: dict[str, _AtWork] = {}
        self._since = time.monotonic()
        self._live = Live(console=console, refresh_per_second=10, transient=True, get_renderable=self._bottom)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        self._live.stop()

    def resumed(self, history: list[Record]) -> None:
        """Count what is done already."""
        for record in history:
            self._steps.count(record)

    def on_record(self, record: Record) -> None:
        """Show a record."""
        self._steps.count(record)
        super().on_record(record)

    def begun(self, run_id: str) -> None:
        """Leave a line with the id by which the run is found again."""
        self._live.console.print(Text(f"run {run_id}", "dim"), soft_wrap=True)

    def started(self, record: Started) -> None:
        """Show that a step is at work."""
        self._at_work[record.path] = _AtWork(record.action, time.monotonic(), Spinner("dots"))

    def answered(self, path: str, report: StepReport) -> None:
        """Leave a line for what the step answered."""
        self._at_work.pop(path, None)
        line = _line(path, report)
        if report.duration is not None:
            line.append(f"  {_seconds(report.duration.total_seconds())}", "dim")
        for each in [line, *(_details(report) if self._is_verbose else ())]:
            self._live.console.print(each, soft_wrap=True)

    def _bottom(self) -> RenderableType:
        """Return what is shown beneath: it changes all the time."""
        now = time.monotonic()
        at_work = list(self._at_work.items())  # at once: this is called in a thread, beside the run
        rows: list[RenderableType] = []
        for path, (action, since, spinner) in at_work[-_MOST_AT_WORK:]:
            back = action is Action.ROLLBACK
            spinner.update(
                text=Text.assemble(
                    (f"{'↶' if back else '→'} {action:<8} ", "yellow" if back else "cyan"),
                    plain(path),
                    (f"  {_seconds(now - since)}", "dim"),
                )
            )
            rows.append(spinner)
        if len(at_work) > _MOST_AT_WORK:
            rows.append(Text(f"  and {len(at_work) - _MOST_AT_WORK} more", "dim"))
        is_back = any(each.action is Action.ROLLBACK for _, each in at_work)
        done = f"{self._steps} steps done{', on the way back' if is_back else ''}"
        rows.append(Text(f"{done}, {_seconds(now - self._since)}", "yellow" if is_back else "dim"))
        return Group(*rows)


_MOST_AT_WORK = 10


class _AtWork(NamedTuple):
    action: str
    since: float
    spinner: Spinner


def _seconds(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"  # noqa: PLR2004


def _details(report: StepReport) -> Iterator[Text]:
    """Yield, line by line, what an action has left in its report: failed attempts, effects and metadata."""
    for number, attempt in enumerate(report.failed_attempts, 1):
        yield Text(f"    attempt {number} failed: {_reason(attempt)}", "dim")
    for effect in report.effects:
        yield Text(f"    {effect.kind} {plain(effect.ref)}", "dim")
    for name, value in report.metadata.items():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for line in text.splitlines():
            yield Text(f"    {plain(name)}: {plain(line)}", "dim")


def _line(path: str, report: StepReport) -> Text:
    back = report.action is Action.ROLLBACK
    line = Text.assemble(
        (f"{_MARKS.get(report.status, '?')} ", _STYLES.get(report.status, "")),
        (f"{report.action:<8} ", "yellow" if back else "cyan"),
        plain(path),
    )
    if report.status is not Status.SUCCESS:
        line.append(f"  {report.status}", _STYLES.get(report.status, ""))
    reason = _reason(report)
    if reason:
        line.append(f"  {reason}", "dim")
    return line


def _reason(report: StepReport) -> str:
    """Return why an action did not simply succeed, and what else is to be said of it."""
    error = report.error
    told = report.detail or "" if error is None else f"{type(error).__name__}: {text_of(error)}"
    return plain("  ".join([*filter(None, [told]), *(f"({remark})" for remark in report.remarks)]))


def report_table(report: WorkflowReport, *, has_title: bool = True) -> RenderableType:
    """Return a report as a table with one row an action."""
    table = Table()
    for column in ("action", "step", "status"):
        table.add_column(column)
    table.add_column("took", justify="right")
    table.add_column("reason", overflow="fold")
    _add_rows(table, report, "")
    title = [Text(plain(report.headline), "bold")] if has_title else []
    return Group(*title, table, Text(plain(_summary(report))))


def _add_rows(table: Table, report: WorkflowReport, indent: str) -> None:
    for step in report.step_reports if report.prepare is None else [report.prepare, *report.step_reports]:
        took = "" if step.duration is None else f"{step.duration.total_seconds():.3f} s"
        back = step.action is Action.ROLLBACK
        table.add_row(
            Text(step.action, "yellow" if back else "cyan"),
            Text(indent + plain(step.step_id)),
            Text(step.status, _STYLES.get(step.status, "")),
            took,
            Text(_reason(step)),
        )
        if step.workflow is not None:
            _add_rows(table, step.workflow, indent + "  ")


def _summary(report: WorkflowReport) -> str:
    seconds = report.duration.total_seconds() if report.duration else 0
    lines = [f"run {report.run_id} took {seconds:.3f} s"]
    remaining = report.remaining
    if remaining.not_run:
        lines.append(f"not run: {', '.join(remaining.not_run)}")
    if report.outcome is not Outcome.SUCCEEDED and remaining.not_undone:
        lines.append(f"not undone: {', '.join(remaining.not_undone)}")
    if report.outcome is not Outcome.SUCCEEDED and report.effects:
        lines.append(f"done outside: {', '.join(f'{each.kind} {each.ref}' for each in report.effects)}")
    return "\n".join(lines)
