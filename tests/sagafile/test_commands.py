"""Runs of saga files: real commands, in real folders."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Secret, Workflow
from automa.engines.local import LocalEngine
from automa.errors import StateError
from automa.sagafile import load, loads


def start(steps, state=None, folder=".", top="", **options):
    """Run a saga file that has these steps; return its report."""
    workflow = loads(f"automa: 1\nid: saga\n{top}\nsteps:\n{steps}", folder=folder)
    return asyncio.run(workflow.start_async(state, **options))


def test_commands_run_and_are_undone_in_reverse(tmp_path):
    """A failed command undoes what was done, the last first; the folder is as it was."""
    report = start(
        """
  - {id: folder, run: [mkdir, site], undo: [rmdir, site]}
  - {id: page, run: {shell: bash, script: echo hi > site/index.html}, undo: [rm, site/index.html]}
  - {id: check, run: [grep, -q, bye, site/index.html], undo: ['true']}
""",
        folder=tmp_path,
    )
    assert report.outcome == "undone"
    assert [(each.action, each.step_id) for each in report.step_reports[3:]] == [
        ("rollback", "check"), ("rollback", "page"), ("rollback", "folder"),
    ]  # fmt: skip
    assert str(report.error) == "grep: exit status 1"
    assert not list(tmp_path.iterdir())


def test_outputs_reach_later_steps_and_undos(tmp_path):
    """What a command prints as an output is an argument, and in the environment, of those after it and of undos."""
    report = start(
        """
  - id: make
    run: [printf, 'noise\\nurl=http://x/?a=b\\nsize=3\\n']
    outputs: [url, size]
    undo: {shell: sh, script: 'echo "$OUTPUT_MAKE_URL" > undone'}
  - id: both
    parallel:
      - id: as-json
        run: [printf, '{"list": [1, 2], "text": "ä"}']
        outputs: {format: json, names: [list, text]}
  - id: use
    run: [printf, '%s|', {output: make.url}, {output: as-json.list}, {output: as-json.text}]
  - {id: env, run: {shell: bash, script: 'echo "$OUTPUT_MAKE_SIZE $OUTPUT_AS_JSON_LIST"; exit 3'}}
""",
        folder=tmp_path,
    )
    assert report.outcome == "undone"
    use = report.step_reports[2]
    assert use.metadata["stdout"] == "http://x/?a=b|[1, 2]|ä|"
    assert str(report.error) == "bash: exit status 3: 3 [1, 2]"
    assert (tmp_path / "undone").read_text() == "http://x/?a=b\n"


@pytest.mark.parametrize(
    ("form", "printed", "said"),
    [
        ("lines", "urL=x", "it has not printed the output url (it has printed: urL)"),
        ("json", "[1]", "no JSON object, but a list"),
        ("json", "{", "what it has printed is no JSON"),
        ("json", "{}", "it has not printed the output url (it has printed: none)"),
    ],
)
def test_an_output_that_is_missing_fails_the_step(form, printed, said):
    """A step that has not printed what it is to has failed, and says what it has printed."""
    report = start(
        f"  - {{id: a, run: [printf, '{printed}'], outputs: {{format: {form}, names: [url]}}, undo: ['true']}}"
    )
    assert report.outcome == "undone"
    assert said in str(report.error)


@pytest.mark.parametrize(
    ("form", "printed", "said"),
    [
        ("json", '{"url": "a\\\\u0000"}', "its output 'url': there is a NUL character in it"),
        ("json", '{"url": "\\\\ud800"}', "its output 'url': there is half a character in it"),
        ("json", '{"url": NaN}', "NaN is no JSON value"),
        ("lines", "url=%0100001d", "its output 'url': it is longer than 100,000 bytes"),
        ("lines", "url=\\377", "its output 'url' is no UTF-8 text"),
        ("lines", "url=\\0", "its output 'url': there is a NUL character in it"),
    ],
)
def test_an_output_that_no_command_could_be_given_fails_its_step(form, printed, said):
    """It fails the step that has printed it, which is undone: else no later command, and no undo, could start."""
    report = start(
        f"""
  - {{id: before, run: ['true'], undo: ['true']}}
  - {{id: a, run: [printf, '{printed}'], outputs: {{format: {form}, names: [url]}}, undo: ['true']}}
"""
    )
    assert report.outcome == "undone"
    assert said in str(report.error)


def test_an_output_is_a_line_as_it_was_printed():
    """Only a line feed ends a line, with a carriage return or without: nothing else in it is changed."""
    report = start(
        "  - {id: a, run: [printf, 'x=a\\fb\\302\\205\\342\\200\\250c\\r\\ny=1=2'], outputs: [x, y]}"
    )
    assert report.results == {"a": {"x": "a\fb\x85\u2028c", "y": "1=2"}}


EVIL = [
    "$(touch hacked)",
    "`touch hacked`",
    "; touch hacked",
    "' \" \\",
    "a\nb",
    "-rf",
    "",
    "*",
    "$HOME",
    "ä\u2028\t",
]


@settings(max_examples=20, deadline=None)
@given(
    st.one_of(
        st.sampled_from(EVIL),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    )
)
def test_a_variable_reaches_a_command_as_it_is(tmp_path_factory, value):
    """Whatever a variable holds, it is one argument, or one variable of the environment: no shell reads it."""
    folder = tmp_path_factory.mktemp("evil")
    report = start(
        """
  - {id: argument, run: [printf, '%s', {var: x}]}
  - {id: env, run: {shell: sh, script: 'printf %s "$VAR_X"'}}
""",
        {"x": value},
        folder,
        "vars: {x: {type: string}}",
    )
    assert report.outcome == "succeeded"
    for each in report.step_reports:
        assert each.metadata.get("stdout", "") == value
    assert not list(folder.iterdir())


def test_what_a_command_finds_in_its_environment(tmp_path):
    """It has the environment of automa, that of the file and of the step, and is told run, step and attempt."""
    report = start(
        """
  - id: told
    env: {OWN: step}
    run:
      shell: bash
      script: |
        echo "$ALL $OWN $VAR_N $VAR_B $AUTOMA_WORKFLOW_ID $AUTOMA_RUN_ID $AUTOMA_STEP $AUTOMA_ATTEMPT"
        echo "$AUTOMA_IDEMPOTENCY_KEY"
        test -n "$PATH" && pwd
""",
        run_id="r1",
        folder=tmp_path,
        top="env: {ALL: file, OWN: file}\nvars: {n: 3, b: true}\ncwd: .",
    )
    lines = report.step_reports[0].metadata["stdout"].splitlines()
    assert lines == ["file step 3 true saga r1 told 1", "saga/r1/told/run", str(tmp_path.resolve())]


def test_conditions_are_asked(tmp_path):
    """A step is skipped where a variable has another value, or a command says no; one that fails is a failure."""
    steps = """
  - {id: by-value, run: ['true'], when: {var: where, is: there}}
  - {id: by-truth, run: ['true'], when: {var: yes_}}
  - {id: by-command, run: [touch, made], when: {run: [test, -e, file]}}
  - {id: by-failure, run: ['true'], when: {run: [bash, -c, exit 2]}}
"""
    top = "vars: {where: here, yes_: true}"
    report = start(steps, folder=tmp_path, top=top)
    assert [(each.step_id, each.status.value) for each in report.step_reports[:4]] == [
        ("by-value", "SKIPPED"), ("by-truth", "SUCCESS"), ("by-command", "SKIPPED"), ("by-failure", "FAILED"),
    ]  # fmt: skip
    assert str(report.error) == "bash: exit status 2"
    assert [each.reason for each in report.step_reports[0:3:2]] == ["its condition is false"] * 2
    (tmp_path / "file").touch()
    assert start(steps.replace("exit 2", "exit 0"), {"where": "there"}, tmp_path, top).outcome == "succeeded"
    assert (tmp_path / "made").exists()


def test_an_output_of_a_skipped_step_is_missed(tmp_path):
    """A step whose argument is an output of one that was skipped fails, and says so."""
    report = start(
        """
  - {id: a, run: [echo, x=1], outputs: [x], when: {var: b}}
  - {id: c, run: [echo, {output: a.x}]}
""",
        top="vars: {b: false}",
    )
    assert "step 'a' has no output 'x' in this run: was it skipped?" in str(report.error)


def test_a_command_is_tried_again(tmp_path):
    """Attempts that failed are told, each with its error; the last one counts."""
    report = start(
        """
  - id: a
    retry: {attempts: 3, initial: 10ms}
    run: {shell: bash, script: 'echo x >> tries; test $AUTOMA_ATTEMPT = 3'}
""",
        folder=tmp_path,
    )
    assert report.outcome == "succeeded"
    assert len(report.step_reports[0].failed_attempts) == 2
    assert (tmp_path / "tries").read_text() == "x\n" * 3


def is_alive(pid):
    """Whether a process is there, and no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until(condition, seconds=20):
    """Wait for a condition."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it has not come"
        time.sleep(0.01)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    """Past its time-out a command, and what it has begun, is ended, and undone."""
    report = start(
        """
  - id: slow
    timeout: 500ms
    run: {shell: bash, script: 'sleep 60 & echo $! > child; wait'}
    undo: [touch, undone]
""",
        folder=tmp_path,
    )
    assert report.outcome == "undone"
    assert (tmp_path / "undone").exists()
    assert not is_alive(int((tmp_path / "child").read_text()))


def test_a_command_that_ignores_the_request_to_end_is_killed(tmp_path, monkeypatch):
    """A command that does not end when it is asked to is ended by force."""
    monkeypatch.setattr("automa.sagafile.processes.GRACE", 0.2)
    report = start(
        """
  - id: stubborn
    timeout: 500ms
    run: {shell: bash, script: 'trap "" TERM; echo $$ > pid; while true; do sleep 0.1; done'}
    undo: ['true']
""",
        folder=tmp_path,
    )
    assert report.outcome == "undone"
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path, monkeypatch):
    """What a command has begun is ended by force too, before the undo, though the command itself has ended."""
    monkeypatch.setattr("automa.sagafile.processes.GRACE", 0.2)
    report = start(
        """
  - id: slow
    timeout: 500ms
    run: {shell: bash, script: '(trap "" TERM; echo $BASHPID > child; exec sleep 60) & wait'}
    undo: {shell: bash, script: 'if grep -q sleep /proc/$(cat child)/cmdline; then exit 1; fi'}
""",
        folder=tmp_path,
    )
    assert report.outcome == "undone"
    assert not is_alive(int((tmp_path / "child").read_text()))


def test_a_daemon_that_a_command_leaves_goes_on(tmp_path):
    """What a command starts in the background is not waited for for long, and lives on until its undo ends it."""
    report = start(
        """
  - id: server
    run: {shell: bash, script: 'setsid sleep 60 & echo pid=$!'}
    outputs: [pid]
    undo: [kill, {output: server.pid}]
  - {id: look, run: [kill, '-0', {output: server.pid}]}
  - {id: fails, run: ['false']}
"""
    )
    assert report.outcome == "undone"
    assert [each.status.value for each in report.step_reports] == [
        "SUCCESS", "SUCCESS", "FAILED", "SKIPPED", "SKIPPED", "SUCCESS",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("[no-such-program]", "there is no program 'no-such-program' on PATH"),
        ("[./none]", "./none is not there, or is no program that may be run"),
        ("[bash, -c, 'kill -9 $$']", "bash: ended by signal 9"),
        ("[bash, -c, 'echo first >&2; echo why >&2; exit 4']", "bash: exit status 4: why"),
    ],
)
def test_why_a_command_failed_is_told(run, said, tmp_path):
    """The error names program, exit status or signal, and the last line that was written."""
    assert str(start(f"  - {{id: a, run: {run}}}", folder=tmp_path).error) == said


def test_a_folder_that_is_not_there_is_told(tmp_path):
    """A command whose folder is missing fails with the name of the folder."""
    report = start("  - {id: a, run: ['true'], cwd: below}", folder=tmp_path)
    assert str(report.error) == f"true: there is no folder {tmp_path.resolve()}/below, in which it is to work"


def test_secrets_reach_commands_and_nothing_else(tmp_path):
    """A secret is in the environment of commands; report, error and journal do not have it."""
    secret = "s3cr3t-token-41"  # noqa: S105
    url = f"sqlite:///{tmp_path}/runs.db"
    report = start(
        """
  - {id: ok, run: {shell: bash, script: 'echo "token is $SECRET_TOKEN"; echo ${#SECRET_TOKEN} > length'}}
  - {id: bad, run: {shell: bash, script: 'echo "refused $SECRET_TOKEN" >&2; exit 1'}}
""",
        folder=tmp_path,
        top="secrets: [token]",
        resources={"token": Secret(secret)},
        store=url,
    )
    assert report.step_reports[0].metadata["stdout"] == "token is [secret]\n"
    assert str(report.error) == "bash: exit status 1: refused [secret]"
    assert (tmp_path / "length").read_text() == f"{len(secret)}\n"
    assert secret not in str(report)
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert secret.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("secret", "script"),
    [
        ("first-line-of-a-key\nlast-line-of-a-key", 'echo "$SECRET_KEY" >&2; exit 1'),
        ("long-token-" * 3, 'printf "x%383s$SECRET_KEY" >&2; exit 1'),
    ],
)
def test_no_part_of_a_secret_is_in_an_error(secret, script):
    """An error has the last line that was written, cut where it is long; a secret is replaced before that."""
    report = start(
        f"  - {{id: a, run: {{shell: bash, script: '{script}'}}}}",
        top="secrets: [key]",
        resources={"key": Secret(secret)},
    )
    assert str(report.error).endswith("[secret]")
    assert "-of-a-key" not in str(report.error)
    assert "long-" not in str(report.error)


def test_a_secret_that_is_not_given_is_told():
    """A run without the secret that its commands need does not begin, and it is said how it is given."""
    for resources in (None, {"token": 3}):
        with pytest.raises(StateError, match="needs the secret token: use --secret token=env:VARIABLE"):
            start("  - {id: a, run: ['true']}", top="secrets: [token]", resources=resources)


def test_a_saga_file_in_another_workflow_needs_its_secrets_too():
    """As a step of a workflow in Python its commands fail where the secret is missing, and say so."""
    inner = loads("automa: 1\nid: inner\nsecrets: [token]\nsteps: [{id: a, run: ['true']}]")
    report = asyncio.run(Workflow("outer", [inner]).start_async())
    assert "the secret 'token' is not in the resources of the run" in str(report.error)


def test_a_run_that_stopped_is_left_alone_where_a_secret_is_missing(tmp_path):
    """A resume or rollback without the secrets is refused, and changes nothing: with them it goes on."""
    text = """
automa: 1
id: saga
secrets: [token]
steps: [{id: a, run: ['true'], undo: [touch, undone]}]
"""
    url = f"sqlite:///{tmp_path}/runs.db"
    workflow = loads(text, folder=tmp_path)
    resources = {"token": Secret("a-secret")}
    assert (
        asyncio.run(workflow.start_async(run_id="r1", store=url, resources=resources)).outcome == "succeeded"
    )
    for request in (workflow.rollback_async, workflow.resume_async):
        with pytest.raises(StateError, match="needs the secret token"):
            asyncio.run(request("r1", url))
    assert asyncio.run(workflow.rollback_async("r1", url, resources=resources)).outcome == "undone"
    assert (tmp_path / "undone").exists()


def test_a_worker_without_the_secrets_of_its_workflows_does_not_begin(tmp_path):
    """A worker that could carry on no run without failing it is refused."""
    workflow = loads("automa: 1\nid: saga\nsecrets: [token]\nsteps: [{id: a, run: ['true']}]")
    engine = LocalEngine(f"sqlite:///{tmp_path}/runs.db")
    with pytest.raises(StateError, match="needs the secret token"):
        engine.worker([workflow])


def test_a_long_output_is_cut_in_the_report():
    """Of a long output the beginning and the end are kept, and what was left out is said."""
    report = start("  - {id: a, run: [bash, -c, 'seq 1 1000000; head -c 3000000 /dev/zero']}")
    told = report.step_reports[0].metadata["stdout"]
    assert len(told) < 20_000
    assert told.startswith("1\n2\n")
    assert "left out]" in told
    small = start("  - {id: a, run: [seq, '1', '20000']}").step_reports[0].metadata["stdout"]
    assert small.startswith("1\n")
    assert small.endswith("20000\n")
    assert "characters are left out]" in small


def test_nothing_is_lost_between_the_beginning_and_the_end_of_an_output():
    """What is kept in two halves is put together again as it was."""
    report = start(
        """
  - id: a
    run: [python3, -c, 'import json; print(json.dumps({"x": 1, "y": "0123456789" * 60_000}))']
    outputs: {format: json, names: [x]}
  - id: b
    run: [python3, -c, 'print("\\n".join(f"n{n}={n}" for n in range(60_000)))']
    outputs: [n0, n33332, n33333, n33334, n33335, n59999]
"""
    )
    assert report.results["a"] == {"x": 1}
    assert set(report.results["b"].items()) == {
        (f"n{n}", str(n)) for n in (0, 33332, 33333, 33334, 33335, 59999)
    }


def test_no_part_of_a_secret_stays_where_an_output_is_cut():
    """Where the middle of a long output is left out, so is the line of which it has a part: it may be a secret's."""
    code = "import os, sys; sys.exit('x' * 600_000 + os.environ['SECRET_KEY'] + 'y' * 499_976)"
    report = start(
        f"  - {{id: a, run: [python3, -c, {json.dumps(code)}]}}",
        top="secrets: [key]",
        resources={"key": Secret("long-secret-" * 4)},
    )
    assert str(report.error) == "python3: exit status 1: [what came here is left out]"


def test_a_command_reads_nothing(tmp_path):
    """Standard input is empty for a command, whatever that of automa is: it does not wait for it."""
    file = tmp_path / "saga.yaml"
    file.write_text("automa: 1\nid: saga\nsteps: [{id: a, run: [bash, -c, 'cat > read']}]")
    subprocess.run(
        [sys.executable, "-m", "automa", "run", str(file)], input=b"typed", capture_output=True, check=True
    )
    assert (tmp_path / "read").read_bytes() == b""


def test_a_nul_character_that_is_printed_is_spelt_out(tmp_path):
    """A report has no NUL character in it, which no YAML file could have."""
    report = start("  - {id: a, run: [printf, 'a\\0b']}")
    assert report.step_reports[0].metadata["stdout"] == "a\\0b"


def test_an_output_that_is_too_long_is_no_output():
    """A command that prints more than is kept has no outputs: the step fails rather than miss one."""
    report = start("  - {id: a, run: [bash, -c, 'seq 1 1000000; echo x=1'], outputs: [x]}")
    assert "too much for outputs" in str(report.error)


def test_a_run_that_was_killed_is_resumed_and_what_it_left_is_ended(tmp_path):
    """After kill -9 of automa its command goes on; a resume ends that before it calls the command again."""
    file = tmp_path / "saga.yaml"
    file.write_text(
        """
automa: 1
id: saga
steps:
  - {id: first, run: [bash, -c, echo x >> first]}
  - id: slow
    run:
      shell: bash
      script: |
        echo $$ >> pids
        test -e go || sleep 60
    undo: [touch, undone]
"""
    )
    url = f"sqlite:///{tmp_path}/runs.db"
    command = [sys.executable, "-m", "automa", "run", str(file), "--store", url, "--run-id", "r1", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().strip())
    left = int((tmp_path / "pids").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_alive(left)
    (tmp_path / "go").touch()
    done = subprocess.run(
        [sys.executable, "-m", "automa", "resume", "r1", "--store", url], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not is_alive(left)
    assert len((tmp_path / "pids").read_text().splitlines()) == 2
    assert (tmp_path / "first").read_text() == "x\n"
    assert not (tmp_path / "undone").exists()


def test_a_daemon_outlives_a_resume(tmp_path):
    """What a step that has ended has left in the background is not ended by a resume, nor before its undo."""
    file = tmp_path / "saga.yaml"
    file.write_text(
        """
automa: 1
id: saga
steps:
  - id: server
    run: {shell: bash, script: 'setsid sleep 60 > /dev/null 2>&1 & echo pid=$!'}
    outputs: [pid]
    undo: [kill, {output: server.pid}]
  - {id: dies, run: [bash, -c, 'test -e go || kill -9 $PPID; sleep 0.1; exit 1'], undo: ['true']}
"""
    )
    url = f"sqlite:///{tmp_path}/runs.db"
    command = [sys.executable, "-m", "automa", "run", str(file), "--store", url, "--run-id", "r1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    (tmp_path / "go").touch()
    report = asyncio.run(load(file).resume_async("r1", url))
    assert report.outcome == "undone"
    wait_until(lambda: not is_alive(int(report.results["server"]["pid"])))


def test_the_command_of_another_run_of_that_id_is_left_alone(tmp_path):
    """Two runs of the same id, in two stores, do not end one another's commands."""
    text = """
automa: 1
id: saga
steps: [{id: slow, run: [bash, -c, 'echo x >> begun; while test ! -e go; do sleep 0.02; done']}]
"""
    runs = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saga.yaml").write_text(text)
        command = [sys.executable, "-m", "automa", "run", str(folder / "saga.yaml"), "--run-id", "r1", "-q"]
        runs.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        wait_until((folder / "begun").exists)
    for name in ("a", "b"):
        (tmp_path / name / "go").touch()
    assert [each.wait(timeout=30) for each in runs] == [0, 0]


def test_verify_decides_about_a_command_that_was_cut_off(tmp_path):
    """One that was done is not called again by a resume, one that was not is, and one in doubt is undone."""
    for status, calls, exit_status in ((0, 1, 0), (1, 2, 0), (2, 1, 1)):
        folder = tmp_path / str(status)
        folder.mkdir()
        file = folder / "saga.yaml"
        file.write_text(
            f"""
automa: 1
id: saga
steps:
  - id: once
    run: [bash, -c, 'echo x >> calls; test -e go || kill -9 $PPID; sleep 0.1']
    verify: [bash, -c, exit {status}]
    undo: [touch, undone]
"""
        )
        url = f"sqlite:///{folder}/runs.db"
        base = [sys.executable, "-m", "automa"]
        died = subprocess.run(
            [*base, "run", str(file), "--store", url, "--run-id", "r1"], capture_output=True, check=False
        )
        assert died.returncode == -signal.SIGKILL
        (folder / "go").touch()
        done = subprocess.run(
            [*base, "resume", "r1", "--store", url], capture_output=True, text=True, check=False
        )
        assert done.returncode == exit_status, done.stderr
        assert len((folder / "calls").read_text().splitlines()) == calls
        assert (folder / "undone").exists() == (exit_status == 1)


EDITED = """
automa: 1
id: saga
vars: {was: 1}
steps:
  - {id: first, run: [echo, a=1], outputs: [a], undo: [touch, undone]}
  - {id: dies, run: [bash, -c, 'test -e go || kill -9 $PPID; sleep 0.1']}
  - {id: uses, run: [touch, done], undo: ['true']}
"""


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("[bash, -c, 'test $0-$VAR_NEW = 5-5', {var: new}]", ""),
        ("['true'], when: {var: new, is: 6}", ""),
        ("[echo, {var: asked}]", "this run has no variable 'asked': it was begun before the file had it"),
        ("['true'], when: {var: asked, is: x}", "this run has no variable 'asked'"),
        ("[echo, {output: first.b}]", "step 'first' has no output 'b' in this run"),
    ],
)
def test_a_run_is_carried_on_with_a_file_that_was_edited(tmp_path, run, said):
    """New variables have their defaults; where one, or an output, is not there, the step fails and undos do not."""
    file = tmp_path / "saga.yaml"
    file.write_text(EDITED)
    url = f"sqlite:///{tmp_path}/runs.db"
    command = [sys.executable, "-m", "automa", "run", str(file), "--store", url, "--run-id", "r1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    (tmp_path / "go").touch()
    text = EDITED.replace("{was: 1}", "{new: 5, asked: {type: string}}").replace("[a]", "[a, b]")
    file.write_text(text.replace("[touch, done]", run))
    report = asyncio.run(load(file).resume_async("r1", url))
    assert said in str(report.error)
    assert report.outcome == ("undone" if said else "succeeded")
    assert (tmp_path / "undone").exists() == bool(said)


def test_a_verify_prints_the_outputs_of_the_work_that_was_done(tmp_path):
    """What a verify prints as outputs is there after it as if the run had printed it; without, nobody can tell."""
    for printed, outcome, used in (("echo x=1", "succeeded", "1"), ("true", "undone", "")):
        folder = tmp_path / outcome
        folder.mkdir()
        file = folder / "saga.yaml"
        file.write_text(
            f"""
automa: 1
id: saga
steps:
  - id: once
    run: [bash, -c, 'echo x=1; test -e go || kill -9 $PPID; sleep 0.1']
    verify: [bash, -c, '{printed}']
    outputs: [x]
    undo: [touch, undone]
  - {{id: use, run: [bash, -c, 'echo -n $0 > used', {{output: once.x}}], undo: ['true']}}
"""
        )
        url = f"sqlite:///{folder}/runs.db"
        base = [sys.executable, "-m", "automa"]
        subprocess.run(
            [*base, "run", str(file), "--store", url, "--run-id", "r1"], capture_output=True, check=False
        )
        (folder / "go").touch()
        report = asyncio.run(load(file).resume_async("r1", url))
        assert report.outcome == outcome
        assert (folder / "undone").exists() == (outcome == "undone")
        assert not used or (folder / "used").read_text() == used


def test_a_signal_ends_the_command_and_undoes(tmp_path):
    """Ctrl-C ends the command at work, which hears nothing of the terminal, and what was done is undone."""
    file = tmp_path / "saga.yaml"
    file.write_text(
        """
automa: 1
id: saga
steps:
  - {id: first, run: [touch, made], undo: [rm, made]}
  - {id: slow, run: [bash, -c, 'echo $$ > pid; exec sleep 60'], undo: ['true']}
"""
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", "run", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert not (tmp_path / "made").exists()
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_journal_keeps_what_commands_printed(tmp_path):
    """The report of a run that is read from its journal tells the same as the one that was returned."""
    file = tmp_path / "saga.yaml"
    file.write_text("automa: 1\nid: saga\nsteps: [{id: a, run: [echo, x=1], outputs: [x]}]")
    url = f"sqlite:///{tmp_path}/runs.db"
    workflow = load(file)
    report = asyncio.run(workflow.start_async(store=url, run_id="r1"))
    again = asyncio.run(workflow.resume_async("r1", url))
    assert again.step_reports[0].metadata["stdout"] == report.step_reports[0].metadata["stdout"] == "x=1\n"
    assert again.results == report.results == {"a": {"x": "1"}}
