"""What a saga file may say, and what is told of one in which something is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Parallel, Workflow
from automa.errors import SagaFileError, StateError
from automa.sagafile import load, loads
from automa.sagafile.reading import MOST_BYTES, MOST_VALUES

FULL = """\
automa: 1
id: deploy
description: What a file may say
version: 3
vars:
  where: {type: string, default: staging, choices: [staging, production]}
  count: 3
  rate: 1.5
  loud: false
  name: {description: is to be given}
secrets: [token]
env: {LANG: C, DEBUG: yes, PORT: 0080}
deadline: 1h
mode: rollback
rollback_mode: stop
redact: ['\\d{4}-\\d{4}']
retention: delete_on_success
ignore: {check/SAGA003: it only looks}
steps:
  - id: fetch
    description: gets it
    run: [echo, {var: name}, 1.10, no, ~x]
    undo: {shell: bash, script: 'echo "$VAR_NAME"'}
    verify: {shell: [python3, -c], script: pass}
    when: {var: where, is: production}
    outputs: [url, size]
    env: {MORE: text}
    cwd: below
    timeout: 30s
    undo_timeout: 1.5
    retry: {attempts: 5, initial: 100ms, maximum: 2m, multiplier: 3, jitter: false}
    undo_retry: 2
  - id: both
    parallel:
      - id: left
        run: [echo, {output: fetch.url}]
        outputs: {format: json, names: [made]}
      - id: right
        workflow:
          - {id: inner, run: ['true'], when: {var: loud}}
        mode: continue
    limit: 1
    on_failure: cancel
  - id: check
    run: [test, {output: left.made}]
    when: {run: [test, -e, file]}
  - id: switch
    run: ['true']
    pivot: true
  - id: told
    run: ['true']
    irreversible: true
"""


def test_all_that_a_file_may_say_is_read():
    """Each key does what its name says, also in the steps that stand in others."""
    workflow = loads(FULL)
    assert (workflow.id, workflow.version, workflow.retention) == ("deploy", "3", "delete_on_success")
    definition = workflow.definition
    assert (definition.mode, definition.rollback_mode) == ("rollback", "stop")
    assert definition.deadline.total_seconds() == 3600
    assert [step.id for step in workflow.steps] == ["fetch", "both", "check", "switch", "told"]
    fetch, both, _, switch, told = workflow.steps
    assert (fetch.timeout, fetch.undo_timeout) == (30, 1.5)
    assert (fetch.retry.attempts, fetch.retry.initial, fetch.retry.maximum) == (5, 0.1, 120)
    assert (fetch.retry.multiplier, fetch.retry.jitter, fetch.undo_retry.attempts) == (3, False, 2)
    assert isinstance(both, Parallel)
    assert isinstance(both.steps[1], Workflow)
    assert both.steps[1].definition.mode == "continue"
    assert both.definition.limit == 1
    assert both.definition.cancels
    assert switch.pivot
    assert told.irreversible
    assert not [
        finding for finding in workflow.lint() if finding.code == "SAGA003" and finding.path == "check"
    ]


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        (("automa: 1", "automa: 2"), "1:9", "format 1, not '2'"),
        (("automa: 1\n", ""), "1:1", "'automa' is missing: write 'automa: 1'"),
        (("id: deploy", "id: de ploy"), "2:5", "'de ploy' is no id"),
        (("mode: rollback", "mode: back"), "14:7", "'back' is none of rollback, stop, continue"),
        (("version: 3", "versio: 3"), "4:1", "there is no key 'versio' here: is it 'version'?"),
        (
            ("deadline: 1h", "deadline: 1y"),
            "13:11",
            "a span of time such as 30s, 10m or 2h is expected, not '1y'",
        ),
        (("version: 3", "version: ''"), "4:10", "'' is no version: a letter or digit, then at most 63"),
        (("deadline: 1h", "deadline: 0s"), "13:11", "a span of time"),
        (("deadline: 1h", "deadline: 999999999d"), "13:11", "a span of time of at most 36500d is expected"),
        (("'\\d{4}-\\d{4}'", "'('"), "16:10", "no regular expression"),
        (("count: 3", "Count: 3"), "7:3", "'Count' is no name: a small letter"),
        (("choices: [staging, ", "choices: ["), "6:34", "default: it is none of the choices: production"),
        (
            ("{type: string, default: staging", "{type: text, default: staging"),
            "6:17",
            "'text' is none of string",
        ),
        (("secrets: [token]", "secrets: [token, token]"), "11:18", "'token' comes twice"),
        (("LANG: C", "LANG: "), "12:12", 'a text is expected, not nothing (an empty text is written "")'),
        (("LANG: C", "A-B: C"), "12:7", "'A-B' is no name of an environment variable"),
        (("LANG: C", "VAR_NAME: C"), "12:7", "names that begin so are given by automa"),
        (("id: fetch\n", "id: fetch\n    id: other\n"), "21:5", "'id' comes twice, first in line 20"),
        (("id: check", "id: inner"), "44:9", "there is a step 'inner' in line 40 already"),
        (("[echo, {var: name}", "[{var: name}"), "22:10", "a command begins with its program"),
        (("{var: name}", "{var: nam}"), "22:23", "no variable that is called 'nam': is it 'name'?"),
        (("{var: name}", "{var: name, output: a.b}"), "22:17", "{var: NAME} or {output: STEP.NAME}"),
        (("fetch.url", "fetch.uri"), "36:30", "no output of step 'fetch' that is called 'uri': is it 'url'?"),
        (
            ("verify: {shell: [python3, -c], script: pass}", "verify: [test, {output: fetch.url}]"),
            "24:29",
            "no step with outputs before this one that is called 'fetch'",
        ),
        (("fetch.url", "left.made"), "36:30", "no step with outputs before this one that is called 'left'"),
        (("run: [test, {output", "run: test [{output"), "45:23", None),
        (("run: [test, {output: left.made}]", "run: test -e"), "45:10", "a command is a list of arguments"),
        (("run: [test, {output: left.made}]", "run: []"), "45:10", "a command begins with its program"),
        (("shell: bash", "shell: fish"), "23:19", "'fish' is none of bash, sh, zsh"),
        (("shell: bash, ", ""), "23:11", "'shell' is missing, which runs the script: as in 'shell: sh'"),
        (("$VAR_NAME", "$VAR_NAM"), "23:33", "nothing in this file gives $VAR_NAM: is it $VAR_NAME?"),
        (
            ("$VAR_NAME", "${SECRET_TOKN}"),
            "23:33",
            "nothing in this file gives $SECRET_TOKN: is it $SECRET_TOKEN?",
        ),
        (
            ("$VAR_NAME", "$OUTPUT_X_Y"),
            "23:33",
            "nothing in this file gives $OUTPUT_X_Y",
        ),
        (("    parallel:", "    paralel:"), "33:5", "or 'workflow': is 'paralel' 'parallel'?"),
        (("script: 'echo \"$VAR_NAME\"'", "script: ' '"), "23:33", "there is nothing in it"),
        (("when: {var: loud}", "when: {var: where}"), "40:52", "'where' is no boolean: say with 'is'"),
        (("is: production", "of: production"), "25:24", "there is no key 'of' here"),
        (("outputs: [url, size]", "outputs: []"), "26:14", "there is no name in it"),
        (
            ("outputs: [url, size]", "outputs: [url, URL]"),
            "26:14",
            "would both be OUTPUT_FETCH_URL for commands",
        ),
        (("attempts: 5", "attempts: 0"), "31:23", "a whole number from 1 is expected, not '0'"),
        (("multiplier: 3", "multiplier: 0.5"), "31:67", "a number from 1 is expected"),
        (("jitter: false", "jitter: no"), "31:78", "true or false is expected, not 'no'"),
        (("limit: 1", "limit: none"), "42:12", "a whole number from 1 is expected, not 'none'"),
        (
            ("  - id: told\n", "  - id: told\n    undo: ['true']\n"),
            "50:5",
            "is irreversible, and has an undo",
        ),
        (
            ("    limit: 1", "    limit: 1\n    when: {var: loud}"),
            "43:5",
            "only a step with 'run' has a condition",
        ),
        (("    pivot: true", "    pivot: true\n    workflow: []"), "47:5", "not run and workflow"),
        (
            ("    run: ['true']\n    pivot", "    pivot"),
            "47:5",
            "a step has either 'run', 'parallel' or 'workflow'",
        ),
        (("pivot: true", "pivot: !!python/name:os.system x"), "49:12", "means nothing here: leave it out"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(change, place, said):
    """A mistake is told in one line with file, line and column, and what there is instead."""
    assert FULL.count(change[0]) >= 1
    with pytest.raises(SagaFileError) as raised:
        loads(FULL.replace(*change, 1), name="deploy.yaml")
    error = raised.value
    assert str(error).startswith(f"deploy.yaml:{place}: ")
    assert f"{error.line}:{error.column}" == place
    assert said is None or said in error.problem
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("steps", "a saga file is a mapping with 'automa: 1', 'id' and 'steps', not 'steps'"),
        ("a: [", "no YAML"),
        ("a: 1\n---\nb: 1", "no YAML"),
        ("a: \x01", "no YAML"),
        (b"a: \xff", "no UTF-8 text: byte 0xff"),
        ("[" * 5000, "nests too deeply"),
        ("a: &a [*a]", "'automa' is missing"),
        ("automa: 1\nid: a\nsteps: &a [*a]", "steps[0]"),
        ("x" * (MOST_BYTES + 1), "larger than 1,000,000 bytes"),
        ("automa: 1\nid: a\nsteps: []", "there is no step in it"),
        ("automa: 1\nid: a\nsteps: [{id: p, parallel: []}]", "there is no step in it"),
        ("automa: 1\nid: a\nvars: {a: ~}\nsteps: [{id: a, run: [x]}]", "a text is expected, not nothing"),
        ('automa: 1\nid: a\nsteps: [{id: a, run: ["\\0"]}]', "there is a NUL character in it"),
        ('automa: 1\nid: a\nsteps: [{id: a, run: ["\\ud800"]}]', "there is half a character in it"),
        (f"automa: 1\nid: a\nsteps: [{{id: a, run: [{'x' * 100_001}]}}]", "it is longer than 100,000 bytes"),
        (
            f"automa: 1\nid: a\nsteps: [{{id: a, run: {{shell: sh, script: {'ä' * 50_001}}}}}]",
            "steps[0].run.script: it is longer than 100,000 bytes",
        ),
        (f"automa: 1\nid: a\nenv: {{A: {'x' * 100_001}}}\nsteps: []", "env.A: it is longer than"),
        (
            "automa: 1\nid: a\nvars: {a: {default: x, type: integer}}\nsteps: []",
            "of type integer is expected",
        ),
        (
            "automa: 1\nid: a\nsteps: [{id: p, parallel: [{id: x, run: [y], pivot: true}]}]",
            "has a pivot in it",
        ),
    ],
)
def test_what_is_no_saga_file_is_told(text, said):
    """What is no YAML, too large, too deep or no mapping is refused in one line."""
    with pytest.raises(SagaFileError) as raised:
        loads(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_aliases_are_read_and_cannot_make_a_small_file_large():
    """An alias stands for what it names; a bomb of them is refused before it grows."""
    workflow = loads("automa: 1\nid: a\nsteps: [{id: a, run: &x [echo, hi]}, {id: b, run: *x}]")
    assert len(workflow.steps) == 2
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "automa: 1\nid: a\nvars: {x: {choices: [[1]]}}\nsteps: [{id: a, run: [x], env: {A: *a11}}]"
    with pytest.raises(SagaFileError):
        loads("\n".join([bomb, *lines]))
    many = f"automa: 1\nid: a\nsteps:\n- {{id: a, run: [x{', x' * MOST_VALUES}]}}"
    with pytest.raises(SagaFileError, match="more than 20000 values"):
        loads(many)


def test_a_text_is_what_stands_there():
    """``no``, ``1.10``, ``0080`` and ``22:30`` reach a command as they are written."""
    step = loads("automa: 1\nid: a\nsteps: [{id: a, run: [echo, no, 1.10, 0080, 22:30, 1e3, on]}]").steps[0]
    assert step._command.arguments == ("echo", "no", "1.10", "0080", "22:30", "1e3", "on")


def test_a_default_is_a_number_only_where_it_is_written_like_one():
    """What would be written otherwise as a number, such as ``1.10``, is a text, so that nothing changes it."""
    written = {"a": "1.10", "b": "+5", "c": "-0", "d": "12345678901234567890", "e": "1e3", "f": "007"}
    plain = {"g": "1.5", "h": "-12", "i": "true"}
    lines = ", ".join(f"{name}: {text}" for name, text in {**written, **plain}.items())
    workflow = loads(
        f"automa: 1\nid: a\nvars: {{{lines}, j: {{default: 2.0}}, k: {{type: number, default: 1.10}}}}\n"
        "steps: [{id: a, run: [x]}]"
    )
    assert workflow.first_state({}) == {**written, "g": 1.5, "h": -12, "i": True, "j": 2.0, "k": 1.1}


def test_the_values_of_variables_are_checked_before_a_run_begins():
    """One that is unknown, missing, of another type or none of the choices is refused; defaults are filled in."""
    workflow = loads(FULL)
    given = {"name": "x"}
    assert workflow.first_state(given) == {
        "where": "staging", "count": 3, "rate": 1.5, "loud": False, "name": "x",
    }  # fmt: skip
    assert workflow.first_state({"name": 12, "rate": 2})["name"] == "12"
    for wrong, said in [
        ({}, "needs a value for name: use --set name=VALUE"),
        ({"nam": "x"}, "no variable 'nam': is it 'name'?"),
        ({"name": ["x"]}, "'name' is of type string, and ['x'] is not"),
        ({**given, "count": "3"}, "'count' is of type integer, and '3' is not"),
        ({**given, "count": True}, "'count' is of type integer, and True is not"),
        ({**given, "rate": float("nan")}, "'rate' is of type number, and nan is not"),
        ({**given, "loud": 1}, "'loud' is of type boolean, and 1 is not"),
        ({**given, "where": "prod"}, "'where' is one of staging, production, not prod"),
        ({**given, "rate": 10**400}, "is of type number"),
        ({"name": "a\0b"}, "'name': there is a NUL character in it"),
        ({"name": "\ud800"}, "'name': there is half a character in it"),
        ({"name": "x" * 100_001}, "'name': it is longer than 100,000 bytes"),
    ]:
        with pytest.raises(StateError) as raised:
            workflow.first_state(wrong)
        assert said in str(raised.value)


@pytest.mark.parametrize(
    ("raw", "place", "said"),
    [
        (b"a: b\nb: \xff", "2:4", "it is no UTF-8 text: byte 0xff"),
        (b"\xef\xbb\xbfa: b\nb: \xff", "2:4", "it is no UTF-8 text: byte 0xff"),
        ("a: b\r\nb: ä\x01", "2:5", "no YAML: the character '\\x01' may not stand in it"),
        (b"a: b\nb: \x01", "2:4", "no YAML: the character '\\x01' may not stand in it"),
        ("a: b\n\t- c", "2:1", "no YAML"),
    ],
)
def test_what_is_no_text_is_told_with_its_place(raw, place, said):
    """Bytes and characters that no file may have are told by line and column, like all else."""
    with pytest.raises(SagaFileError) as raised:
        loads(raw, name="f")
    assert str(raised.value).startswith(f"f:{place}: {said}")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """A file that is not there, or is a folder, is told like any other mistake."""
    with pytest.raises(SagaFileError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(SagaFileError, match="cannot be read: Is a directory"):
        load(tmp_path)


_PARTS = FULL.split("\n")


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL)),
            st.integers(0, 20),
            st.one_of(
                st.text(max_size=12),
                st.sampled_from(["\t", "- ", ": ", "&a ", "*a", "!!", "{", "[", "\n  ", "? ", "|", "%"]),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_text_breaks_the_reader(changes):
    """Whatever is written into a saga file, it is read or refused in one line with a place."""
    text = FULL
    for place, length, more in changes:
        text = text[:place] + more + text[place + length :]
    found = ""
    try:
        loads(text, name="f")
    except SagaFileError as error:
        found = str(error)
    assert found.startswith("f" if found else "")
    assert "\n" not in found


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_nothing_breaks_the_reader(raw):
    """Bytes and texts of all kinds are refused in one line."""
    with pytest.raises(SagaFileError) as raised:
        loads(raw)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "script",
    [
        "VAR_A=1; echo $VAR_A ${VAR_B:-x}",
        "for VAR_A in 1 2; do echo $VAR_A; done",
        "echo x | while read -r OUTPUT_LINE; do echo ${OUTPUT_LINE}; done",
        "echo ${OUTPUT_DIR:?}",
        "echo $MY_VAR_A $OUTPUTS",
    ],
)
def test_a_script_may_set_what_looks_like_ours(script):
    """A script may set such a variable itself, or say that it comes from elsewhere."""
    workflow = loads(f"automa: 1\nid: a\nsteps:\n  - id: a\n    run: {{shell: sh, script: '{script}'}}")
    assert len(workflow.steps) == 1
