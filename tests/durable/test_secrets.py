"""Secrets: they reach neither a journal, nor a report, nor a log."""

from __future__ import annotations

import io
import logging
import pickle
import sys
import threading

import pytest

from automa import Answered, Secret, StateError, Status, Step, Workflow, WorkflowDefinitionError
from automa.stores import MemoryStore, open_store
from automa.wire import v0, v1

CANARY = "canary-7f3a'\"é"


@pytest.fixture(params=["file", "sqlite"])
def store_at(request, tmp_path):
    """A store and the folder in which it keeps all that it writes."""
    folder = tmp_path / "kept"
    url = f"file:{folder}" if request.param == "file" else f"sqlite:///{folder}/runs.db"
    store = open_store(url)
    yield store, folder
    store.close()


def kept(folder):
    """All bytes below a folder, names included."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() + str(path).encode() for path in paths)


def has_canary(data):
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return "canary-7f3a" in text


def test_a_secret_does_not_print_itself():
    """Its text comes from reveal() alone; it is neither printed, formatted nor pickled."""
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    assert not has_canary(f"{secret!r} {secret} {[secret]}")
    assert secret == Secret(CANARY)
    assert secret != CANARY
    assert len({secret, Secret(CANARY)}) == 1
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="a secret is a text, not int"):
        Secret(12345678)


def test_a_canary_reaches_neither_journal_report_nor_log(store_at):
    """Steps that leak a secret in errors, notes, causes, metadata, remarks and the log leave no trace of it."""
    store, folder = store_at
    secret = Secret(CANARY)
    heard = []

    class Hears:
        def on_record(self, record):
            heard.append(record)

    def leaks(ctx):
        token = ctx.resources["token"].reveal()
        ctx.metadata["url"] = f"https://x/?key={token}"
        ctx.log.info("with %s", token)
        ctx.log.info("%(token)s", {"token": token})
        ctx.log.warning("wrong arguments %d %d", *[token])
        try:
            raise KeyError(token)
        except KeyError as cause:
            ctx.log.exception("it failed")
            error = ValueError(f"refused: {token}")
            error.add_note(f"the token was {token!r}")
            error.token = token
            raise error from cause

    def undo_leaks(ctx):
        raise RuntimeError(ctx.resources["token"].reveal())

    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    logger = logging.getLogger("test.secrets")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    workflow = Workflow(
        "w", [Step("ok"), Workflow("in", [Step("leaks", run=leaks, undo=undo_leaks)])], logger=logger
    )
    try:
        report = workflow.start(run_id="r", store=store, resources={"token": secret}, observers=[Hears()])
    finally:
        logger.removeHandler(handler)
    assert report.status is Status.FAILED
    assert "refused: [secret]" in str(report.error)
    told = [
        str(report), repr(report), v0.to_json(report), v1.report_to_json(report), lines.getvalue(), repr(heard),
        str(workflow.resume("r", store)),
    ]  # fmt: skip
    assert not any(map(has_canary, told)), told
    assert "[secret]" in lines.getvalue()
    assert b"[secret]" in kept(folder)
    assert not has_canary(kept(folder))


@pytest.mark.parametrize(
    "place", ["shared", "local", "result", "nested", "secret in result", "secret in shared"]
)
def test_a_secret_in_state_or_result_is_refused(store_at, place):
    """The step that puts it there has failed, with a message that points to resources, and is undone."""
    store, folder = store_at
    undone = []

    def run(ctx):
        if place == "shared":
            ctx.shared["key"] = CANARY
        elif place == "local":
            ctx.local["key"] = f"Bearer {CANARY}"
        elif place == "nested":
            ctx.shared["list"] = [{"deep": CANARY}]
        elif place == "result":
            return {"token": CANARY}
        elif place == "secret in result":
            return Secret(CANARY)
        else:
            ctx.shared["key"] = Secret(CANARY)

    Secret(CANARY)
    step = Step("leaks", run=run, undo=lambda: undone.append(1))
    report = Workflow("w", [step]).start(run_id="r", store=store)
    assert "resources" in str(report.error)
    assert undone == [1]
    assert not has_canary(kept(folder))


def test_a_secret_in_the_first_state_is_refused(store_at):
    """Nothing is started, and nothing is written."""
    store, folder = store_at
    Secret(CANARY)
    with pytest.raises(
        StateError, match=r"shared\['key'\]: there is a secret in it; secrets go into resources"
    ):
        Workflow("w", [Step("a")]).start({"key": CANARY}, run_id="r", store=store)
    assert not has_canary(kept(folder))
    assert list(store.runs()) == []


def test_what_matches_a_pattern_is_redacted(store_at):
    """redact= takes regular expressions for what is secret without being known beforehand."""
    store, folder = store_at

    def run():
        raise ValueError("card 4111-1111-1111-1111 refused")

    workflow = Workflow("w", [Step("pay", run=run)], redact=[r"\d{4}(-\d{4}){3}"])
    report = workflow.start(run_id="r", store=store)
    assert str(report.error) == "card [secret] refused"
    assert isinstance(report.error, ValueError)
    assert b"4111-1111" not in kept(folder)  # not "4111": a time may hold that by chance


def test_redaction_does_not_change_what_an_error_means(store_at):
    """rollback_on sees the class of the original error, though the report has a redacted one; a resume too."""
    store, _ = store_at
    undone = []

    class Refused(Exception):
        pass

    def run():
        raise Refused(CANARY)

    Secret(CANARY)
    steps = [Step("a", undo=lambda: undone.append("a")), Step("b", run=run)]
    report = Workflow("w", steps, rollback_on=Refused).start(run_id="r", store=store)
    assert undone == ["a"]
    assert report.outcome == "undone"
    assert type(report.error).__name__ == "Refused"
    again = Workflow("w", steps, rollback_on=Refused).resume("r", store)
    assert str(again) == str(report)


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("where", ["first state", "shared", "local", "result", "nested"])
def test_a_secret_that_becomes_known_later_does_not_strand_a_run(store_at, where):
    """What was written before its text was known to be secret is not refused when the run is resumed or undone."""
    store, _ = store_at
    secret = f"later-{where}-{store_at[1].parent.name}"
    stops = [KeyboardInterrupt()]
    undone = []

    def first(ctx):
        if where in {"shared", "nested"}:
            ctx.shared["k"] = secret
        elif where == "local":
            ctx.local["k"] = secret
        elif where == "result":
            return {"k": secret}

    def second():
        if stops:
            raise stops.pop()

    def build(**options):
        inner = Workflow("in", [Step("x", run=second)])
        first_step = Step("a", run=first, undo=lambda: undone.append("a"))
        return Workflow("w", [first_step, inner if where == "nested" else Step("b", run=second)], **options)

    with pytest.raises(KeyboardInterrupt):
        build().start({"k0": secret} if where == "first state" else None, run_id="r", store=store)
    Secret(secret)
    options = {"redact": [r"later-\S+"]}
    assert build(**options).resume("r", store).outcome == "succeeded"
    assert build(**options).rollback("r", store).outcome == "undone"
    assert undone == ["a"]


def test_a_pattern_that_is_none_is_refused():
    """A workflow with a broken pattern cannot be built."""
    with pytest.raises(WorkflowDefinitionError, match="no regular expression"):
        Workflow("w", redact=["("])
    with pytest.raises(WorkflowDefinitionError, match="a list of regular expressions"):
        Workflow("w", redact="abc")


def test_short_secrets_do_not_garble_texts():
    """What has less than six characters turns up in ordinary words, and is not looked for."""
    Secret("abc")
    report = Workflow("w", [Step("a", run=lambda: sys.intern("abc") and 1 / 0)]).start()
    assert str(report.error) == "division by zero"


def test_a_path_with_a_percent_sign_does_not_break_the_log(caplog):
    """A step whose path has an escape in it logs with arguments as any other, and names the caller's line."""

    def run(ctx):
        ctx.log.warning("value %s", 5)

    with caplog.at_level(logging.INFO, "automa"):
        Workflow("w", [Step("a/b", run=run)]).start(run_id="r")
    line = next(record for record in caplog.records if record.getMessage().endswith("value 5"))
    assert "a%2Fb" in line.getMessage()
    assert line.filename == "test_secrets.py"


def test_what_a_late_step_raises_is_told_without_secrets():
    """The error of a step that came to its end too late has no secret, neither in the journal nor in the report."""
    Secret("sesame-of-the-late")
    store, over = MemoryStore(), threading.Event()

    class LetsGo:
        def on_record(self, record):
            if isinstance(record, Answered):
                over.set()

    def hangs():
        over.wait(30)
        raise OSError("refused: sesame-of-the-late")

    report = Workflow("w", [Step("a", run=hangs, timeout=0.02)]).start(
        run_id="r", store=store, observers=[LetsGo()]
    )
    assert isinstance(report.step_reports[0].late.error, OSError)
    assert "sesame-of-the-late" not in f"{report.step_reports[0].late}{store.load('w', 'r')}"


def test_an_effect_with_a_secret_is_refused_in_memory_too():
    """`record_effect` refuses a secret whether or not the run is journaled: a report is written down as well."""
    Secret("sesame-of-the-effect")
    report = Workflow(
        "w", [Step("a", run=lambda ctx: ctx.record_effect("mail", "sesame-of-the-effect"))]
    ).start()
    assert isinstance(report.error, StateError)
    assert "sesame" not in str(report.error)
