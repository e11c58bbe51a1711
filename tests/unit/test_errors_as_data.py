"""Errors as data: what comes back of an exception that was encoded and decoded."""

from __future__ import annotations

import builtins
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import Step, Workflow
from automa.errors import (
    EncodedError,
    RemoteError,
    WireError,
    decode_error,
    encode_error,
    register_error,
)


def through_json(error):
    encoded = encode_error(error)
    document = json.loads(json.dumps(encoded.to_dict(), allow_nan=False))
    assert EncodedError.from_dict(document) == encoded
    return decode_error(EncodedError.from_dict(document))


class CardRefused(Exception):
    def __init__(self, code):
        super().__init__(f"refused with {code}")
        self.code = code
        self.socket = object()


@register_error
class RegisteredError(Exception):
    def __init__(self, code, retry):
        super().__init__(f"code {code}")
        self.code = code
        self.retry = retry


BUILTINS = [
    cls
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, BaseException) and not issubclass(cls, BaseExceptionGroup)
]


@pytest.mark.parametrize("cls", BUILTINS, ids=lambda cls: cls.__name__)
def test_every_builtin_comes_back_as_itself(cls):
    """A builtin exception comes back with its class, text and arguments."""
    if issubclass(cls, UnicodeDecodeError):
        error = cls("utf-8", b"\xff", 0, 1, "invalid start byte")
    elif issubclass(cls, UnicodeEncodeError):
        error = cls("ascii", "é", 0, 1, "no ascii")
    elif issubclass(cls, UnicodeTranslateError):
        error = cls("é", 0, 1, "no way")
    else:
        error = cls("what happened")
    back = through_json(error)
    assert type(back) is cls
    assert str(back) == str(error)
    assert back.args == error.args


def test_an_os_error_keeps_number_and_names():
    """An OSError comes back as its own subclass, with errno and both file names."""
    back = through_json(OSError(2, "No such file", "a.txt"))
    assert isinstance(back, FileNotFoundError)
    assert (back.errno, back.filename, str(back)) == (2, "a.txt", "[Errno 2] No such file: 'a.txt'")
    both = through_json(OSError(17, "exists", "a", None, "b"))
    assert (both.filename, both.filename2) == ("a", "b")


def test_a_builtin_with_arguments_that_are_no_data_keeps_its_text():
    """Where an argument is a live object the text is kept, and the class where a text alone will do."""
    error = KeyError(object())
    back = through_json(error)
    assert type(back) is KeyError
    assert str(back) == str(error)
    unicode = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    unicode.args = (object(),)
    assert isinstance(through_json(unicode), RemoteError)


def test_a_registered_class_comes_back_as_itself():
    """A registered class comes back with its arguments and attributes; its __init__ is not called."""
    back = through_json(RegisteredError(7, retry=True))
    assert type(back) is RegisteredError
    assert (str(back), back.code, back.retry) == ("code 7", 7, True)


def test_only_classes_of_exceptions_can_be_registered():
    """Registering something else is refused."""
    with pytest.raises(TypeError, match="takes a class of exceptions"):
        register_error("ValueError")


def test_an_unknown_class_comes_back_as_a_remote_error_that_prints_like_it():
    """A class that is not registered comes back as RemoteError, with the name and text of the original."""
    back = through_json(CardRefused(51))
    assert isinstance(back, RemoteError)
    assert str(back) == "refused with 51"
    assert back.code == 51
    assert back.type_name == f"{__name__}.CardRefused"
    assert (type(back).__name__, type(back).__module__) == ("CardRefused", __name__)
    assert type(back) is type(through_json(CardRefused(1)))
    nameless = decode_error(EncodedError("", "lost"))
    assert (str(nameless), type(nameless).__name__) == ("lost", "RemoteError")


def test_nothing_is_imported_to_decode():
    """A type name that names a module or another builtin decodes to RemoteError, not to that object."""
    for name in ("os.system", "builtins.print", "subprocess.CalledProcessError"):
        assert isinstance(decode_error(EncodedError(name, "x", args=("x",))), RemoteError)


def test_causes_and_contexts_are_kept():
    """`raise … from`, an implicit context, and a suppressed one come back as they were."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        back = through_json(error)
    assert isinstance(back.__cause__, KeyError)
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer")
    except ValueError as error:
        back = through_json(error)
    assert back.__cause__ is None
    assert isinstance(back.__context__, KeyError)
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None
    except ValueError as error:
        back = through_json(error)
    assert back.__cause__ is back.__context__ is None


def test_notes_are_kept():
    """Notes come back in order."""
    error = ValueError("x")
    error.add_note("first")
    error.add_note("second")
    assert through_json(error).__notes__ == ["first", "second"]


def test_groups_are_kept():
    """A group comes back as a group of its members, to any depth."""
    back = through_json(ExceptionGroup("two", [ValueError("a"), ExceptionGroup("one", [KeyError("b")])]))
    assert type(back) is ExceptionGroup
    assert back.message == "two"
    assert repr(back.exceptions[0]) == "ValueError('a')"
    assert repr(back.exceptions[1].exceptions[0]) == "KeyError('b')"
    assert type(through_json(BaseExceptionGroup("stop", [KeyboardInterrupt()]))) is BaseExceptionGroup


def test_a_group_of_an_unknown_class_says_which_it_was():
    """A group of another class comes back as a plain group with a note."""

    class Own(ExceptionGroup):
        pass

    back = through_json(Own("two", [ValueError("a")]))
    assert type(back) is ExceptionGroup
    assert "this group was a" in back.__notes__[0]


def test_a_long_chain_of_causes_is_kept_whole():
    """Ten thousand causes neither overflow the stack nor get lost."""
    error = ValueError("0")
    for number in range(1, 10_000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    encoded = encode_error(error)
    assert len(encoded.chain()) == 10_000
    back = decode_error(EncodedError.from_dict(encoded.to_dict()))
    depth = 0
    while back is not None:
        back, depth = back.__cause__, depth + 1
    assert depth == 10_000


def test_a_chain_that_is_its_own_cause_is_cut():
    """An exception that is its own cause is encoded once."""
    error = ValueError("round")
    error.__cause__ = error
    assert encode_error(error).cause is None


def test_a_broken_str_does_not_hide_the_error():
    """An exception whose __str__ raises is still encoded, with a word on that."""

    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    assert encode_error(Broken()).message == "<no text: its __str__ raised RuntimeError>"


def test_an_encoded_error_reads_as_its_message():
    """str() of an encoded error is the message."""
    assert str(encode_error(ValueError("no"))) == "no"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(PLAIN, max_size=3), st.lists(st.text(), max_size=2))
def test_plain_arguments_and_notes_come_back_equal(args, notes):
    """Arguments of plain values come back equal, bytes included."""
    error = Exception(*args)
    for note in notes:
        error.add_note(note)
    back = through_json(error)
    assert back.args == tuple(args)
    assert getattr(back, "__notes__", []) == notes


def test_numbers_that_json_cannot_hold_become_texts():
    """NaN and infinities among the arguments are written as texts."""
    assert encode_error(ValueError(float("nan"))).to_dict()["args"] == ["nan"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (7, "error: expected an object, found int"),
        ({"type": "x"}, "error.message: missing"),
        ({"type": 7, "message": "x"}, "error.type: expected str, found int"),
        ({"type": "x", "message": "x", "cause": {"type": "y"}}, r"error.cause.message: missing"),
        ({"type": "x", "message": "x", "cause": 7}, r"error.cause: expected an object, found int"),
        ({"type": "x", "message": "x", "exceptions": {}}, r"error.exceptions: expected list, found dict"),
    ],
)
def test_a_document_that_is_no_error_is_refused_with_the_place(document, message):
    """What is missing or wrong in an encoded error is named with its place."""
    with pytest.raises(WireError, match=message):
        EncodedError.from_dict(document)


@pytest.mark.parametrize("store", [None, "sqlite", "file"])
def test_groups_that_are_deep_in_one_another_end_no_run(tmp_path, store):
    """A step whose error is a group in groups, thousands deep, has failed like any other, journaled or not."""
    url = {"sqlite": f"sqlite:///{tmp_path}/runs.db", "file": f"file:{tmp_path}/runs"}.get(store)

    def fails():
        error = ValueError("leaf")
        for _ in range(3_000):
            error = ExceptionGroup("around", [error])
        raise error

    undone = []
    workflow = Workflow(
        "w", [Step("a", undo=lambda: undone.append("a"), run=lambda: 1), Step("b", run=fails)]
    )
    report = workflow.start(store=url, run_id="r1")
    assert (report.outcome, undone) == ("undone", ["a"])
    encoded, depth = encode_error(report.error), 0
    while encoded.exceptions:
        encoded, depth = encoded.exceptions[0], depth + 1
    assert 10 < depth < 200
    assert encoded.message == "around (1 sub-exception)"
    if url:
        assert workflow.resume("r1", url).outcome == "undone"
