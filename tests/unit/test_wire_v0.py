"""The seed's format: what Go writes is read, what is written reads back, what is wrong is named with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Action, RemoteError, Status, Step, StepReport, WireError, Workflow, WorkflowReport
from automa.wire import v0

GO_JSON = """{"workflowID":"setup","startTime":"2022-11-24T09:15:27.123456789+11:00",
"endTime":"2022-11-24T09:15:28Z","status":"FAILED","stepSequence":["stop","fetch"],"stepReports":[
{"stepID":"stop","action":"run","startTime":"2022-11-24T09:15:27.5+11:00","endTime":"0001-01-01T00:00:00Z",
"status":"SUCCESS","reason":{"Error":null},"metadata":null},
{"stepID":"fetch","action":"run","startTime":"2022-11-24T09:15:27.5Z","endTime":"2022-11-24T09:15:28Z",
"status":"FAILED","reason":{"Error":{"wrapper":{"cause":{"Error":{"leaf":{"message":"timeout","details":{
"original_type_name":"*errors.errorString","error_type_mark":{"family_name":"*errors.errorString","extension":""},
"reportable_payload":["x"],"full_details":null}}}},"message":"fetching images","details":{"original_type_name":
"*fmt.wrapError","error_type_mark":{"family_name":"*fmt.wrapError"}}}}},"metadata":{"host":"ZGIx"}}]}"""

GO_YAML = """
workflow_id: setup
start_time: 2022-11-24T09:15:27.123456789+11:00
end_time: 2022-11-24T09:15:28Z
status: FAILED
step_sequence: [stop, fetch]
step_reports:
  - step_id: fetch
    action: rollback
    start_time: 2022-11-24T09:15:27Z
    end_time: 2022-11-24T09:15:28Z
    status: FAILED
    reason:
      error:
        leaf:
          message: timeout
          details:
            originaltypename: '*errors.errorString'
            errortypemark: {familyname: '*errors.errorString', extension: ''}
            reportablepayload: []
            fulldetails: null
    metadata:
      host: [100, 98, 49]
      binary: !!binary ZGIx
      text: ZGIx
"""


def test_a_json_report_of_go_is_read():
    """Nanoseconds, zones, nulls, the zero time and a wrapped error of Go are read."""
    report = v0.from_json(GO_JSON)
    assert report.start_time == datetime(2022, 11, 23, 22, 15, 27, 123456, tzinfo=UTC)
    first, second = report.step_reports
    assert (first.end_time, first.error, first.metadata) == (None, None, {})
    assert second.metadata == {"host": b"db1"}
    assert isinstance(second.error, RemoteError)
    assert (str(second.error), second.error.type_name) == ("fetching images", "*fmt.wrapError")
    assert str(second.error.__cause__) == "timeout"
    assert report.status is Status.FAILED
    assert report.error is second.error


def test_a_yaml_report_of_go_is_read():
    """Lower-case keys of errors, unquoted times and metadata as byte values, binary or base64 are read."""
    report = v0.from_yaml(GO_YAML)
    (step,) = report.step_reports
    assert report.start_time == datetime(2022, 11, 23, 22, 15, 27, 123456, tzinfo=UTC)
    assert (step.action, step.status, str(step.error)) == (Action.ROLLBACK, Status.FAILED, "timeout")
    assert step.metadata == {"host": b"db1", "binary": b"db1", "text": b"db1"}


def test_an_error_is_written_as_go_writes_it():
    """A leaf for an error alone, a wrapper around its cause, null where there is none."""

    def fails():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    document = v0.to_dict(Workflow("w", [Step("a", run=fails)]).start())
    details = {
        "original_type_name": "builtins.ValueError",
        "error_type_mark": {"family_name": "builtins.ValueError"},
    }
    inner = {
        "original_type_name": "builtins.KeyError",
        "error_type_mark": {"family_name": "builtins.KeyError"},
    }
    leaf = {"leaf": {"message": "'inner'", "details": inner}}
    assert document["stepReports"][0]["reason"] == {
        "Error": {"wrapper": {"cause": {"Error": leaf}, "message": "outer", "details": details}}
    }
    assert document["stepReports"][1]["reason"] == {"Error": None}


def test_a_cause_without_the_inner_key_is_read():
    """A cause written directly, without the key Error around it, is read as well."""
    document = json.loads(GO_JSON)
    wrapper = document["stepReports"][1]["reason"]["Error"]["wrapper"]
    wrapper["cause"] = wrapper["cause"]["Error"]
    assert str(v0.from_dict(document).step_reports[1].error.__cause__) == "timeout"


def test_the_outer_level_of_a_nested_workflow_is_written():
    """The format has no nesting: a nested workflow is one step of the report."""
    report = Workflow("w", [Workflow("inner", [Step("a")]), Step("b")]).start()
    assert [step["stepID"] for step in v0.to_dict(report)["stepReports"]] == ["inner", "b"]


TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


class OwnError(Exception):
    pass


@st.composite
def errors(draw):
    error = draw(st.sampled_from([ValueError, KeyError, OwnError, OSError]))(draw(TEXT))
    if draw(st.booleans()):
        error.__cause__ = draw(st.sampled_from([ValueError, OwnError]))(draw(TEXT))
    return error


@st.composite
def step_reports(draw):
    report = StepReport(draw(TEXT), draw(st.sampled_from(Action)))
    report.start_time = draw(TIMES)
    report.end_time = draw(st.none() | TIMES)
    report.status = draw(st.sampled_from(Status))
    report.error = draw(st.none() | errors())
    for name, value in draw(st.dictionaries(TEXT, st.binary() | TEXT, max_size=3)).items():
        report.metadata[name] = value
    return report


@st.composite
def reports(draw):
    report = WorkflowReport(draw(TEXT), draw(st.lists(TEXT, max_size=3)))
    report.start_time, report.end_time = draw(TIMES), draw(st.none() | TIMES)
    report.status = draw(st.sampled_from(Status))
    report.step_reports = draw(st.lists(step_reports(), max_size=4))
    return report


@settings(max_examples=300)
@given(reports())
def test_every_report_round_trips(report):
    """What is written as JSON or YAML reads back to a report that is written the same, failures included."""
    document = v0.to_dict(report)
    for back in (
        v0.from_json(v0.to_json(report, indent=1)),
        v0.from_yaml(v0.to_yaml(report)),
        v0.from_dict(document),
    ):
        assert v0.to_dict(back) == document
        assert back.start_time == report.start_time
        assert [str(step.error) for step in back.step_reports] == [
            str(step.error) for step in report.step_reports
        ]


def broken(change):
    document = json.loads(GO_JSON)
    change(document)
    return document


STEP = "report.stepReports[1]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("workflowID"), "report.workflowID: missing"),
        (lambda d: d.update(workflowID=7), "report.workflowID: expected a text, found an integer"),
        (lambda d: d.update(status="DONE"), "report.status: unknown status 'DONE' (there are: 'SUCCESS'"),
        (lambda d: d.update(stepSequence=[7]), "report.stepSequence[0]: expected a text, found an integer"),
        (lambda d: d.update(stepReports={}), "report.stepReports: expected a list or null, found an object"),
        (lambda d: d.update(startTime="yesterday"), "report.startTime: 'yesterday' is no RFC 3339 time"),
        (
            lambda d: d.update(startTime="2022-02-30T00:00:00Z"),
            "report.startTime: '2022-02-30T00:00:00Z' is no time",
        ),
        (lambda d: d["stepReports"].append(7), "report.stepReports[2]: expected an object, found an integer"),
        (lambda d: d["stepReports"][1].update(action="fly"), f"{STEP}.action: unknown action 'fly'"),
        (lambda d: d["stepReports"][1].update(action=None), f"{STEP}.action: expected a text, found null"),
        (lambda d: d["stepReports"][1].update(status="OK"), f"{STEP}.status: unknown status 'OK'"),
        (lambda d: d["stepReports"][1].pop("reason"), f"{STEP}.reason: missing"),
        (lambda d: d["stepReports"][1].update(reason={}), f"{STEP}.reason.Error: missing"),
        (lambda d: d["stepReports"][1].update(reason={"Error": {}}), f"{STEP}.reason.Error.leaf: missing"),
        (
            lambda d: d["stepReports"][1]["reason"]["Error"]["wrapper"]["cause"]["Error"]["leaf"].pop(
                "message"
            ),
            f"{STEP}.reason.Error.wrapper.cause.Error.leaf.message: missing",
        ),
        (
            lambda d: d["stepReports"][1].update(metadata={"k": "&"}),
            f"{STEP}.metadata['k']: neither base64 nor",
        ),
        (
            lambda d: d["stepReports"][1].update(metadata={"k": [256]}),
            f"{STEP}.metadata['k']: neither base64 nor",
        ),
        (
            lambda d: d["stepReports"][1].update(metadata={"k": ["a"]}),
            f"{STEP}.metadata['k']: neither base64 nor",
        ),
        (
            lambda d: d["stepReports"][1].update(metadata={"k": {}}),
            f"{STEP}.metadata['k']: expected a text or null",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change, message):
    """A missing field, an unknown word or a wrong type is refused, and the message names the place."""
    with pytest.raises(WireError) as caught:
        v0.from_dict(broken(change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON document"),
        ("{", "no JSON document"),
        ("[]", "report: expected an object, found a list"),
        ('{"workflowID": NaN}', "NaN is no JSON value"),
        (b"\xff\xfe\xff", "no JSON document"),
        ("[" * 100_000, "nests too deeply"),
    ],
)
def test_what_is_no_json_document_is_refused(text, message):
    """Broken, foreign or hostile JSON is refused with one clear error."""
    with pytest.raises(WireError, match=message):
        v0.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "report: expected an object, found null"),
        ("a: [", "no YAML document"),
        ("a: 2022-99-99", "report.stepSequence: missing"),
        ("a: !!int x", "no YAML document"),
        ("a: &x [1]\nb: *x", "line 2: aliases are not allowed"),
        ("[" * 1000, "line 1: the YAML document nests too deeply"),
        ("!!python/object/apply:os.system ['true']", "no YAML document"),
        (b"\xff\xfe\xff", "no YAML document"),
        ("{[a]: 1}", "no YAML document"),
    ],
)
def test_what_is_no_yaml_document_is_refused(text, message):
    """Broken, foreign or hostile YAML is refused with one clear error."""
    with pytest.raises(WireError, match=message):
        v0.from_yaml(text)


def test_yaml_is_written_without_aliases():
    """The same list in two places is written twice: readers need not know aliases."""
    report = WorkflowReport("w", ["a"])
    assert "*id" not in yaml.dump(v0.to_dict(report)) or "*id" not in v0.to_yaml(report)
    assert v0.from_yaml(v0.to_yaml(report)).step_sequence == ["a"]


@given(TIMES, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))
def test_times_of_any_zone_are_read_as_utc(time, offset):
    """A time with an offset reads as the same moment in UTC."""
    minutes = int(offset.total_seconds() // 60)
    sign = "-" if minutes < 0 else "+"
    local = (time + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat(timespec="microseconds")
    document = broken(
        lambda d: d.update(startTime=f"{local}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}")
    )
    assert v0.from_dict(document).start_time == time
