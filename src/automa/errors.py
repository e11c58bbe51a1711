"""What can go wrong, and errors as data.

The tree of exceptions::

    Exception
    ├── AutomaError
    │   ├── WorkflowDefinitionError (ValueError)   the workflow cannot be run as it is written
    │   │   ├── UnknownStepError (LookupError)     a step id that no registry entry has
    │   │   ├── AsyncStepError                     an async step in a synchronous run
    │   │   └── SagaFileError                      a saga file in which something is wrong, and where
    │   ├── RunIdError (ValueError)                a run id that is not of the allowed form
    │   ├── RunExistsError                         a run with that id has been started before
    │   ├── RunNotFoundError (LookupError)         no run with that id in the store
    │   ├── RunOwnedError                          a run that is being carried on by somebody else
    │   ├── RunRequestError                        what was asked of a run does not fit where it stands
    │   ├── JournalError (ValueError)              a journal that cannot be read, or does not fit the workflow
    │   ├── StoreError                             a store that cannot be read or written
    │   │   └── OwnershipLost                      the run was taken over by somebody else
    │   ├── EngineError                            an engine that cannot be used
    │   ├── CommandError                           a command of a saga file that has failed
    │   ├── ResultError (ValueError)               a result that a journal cannot keep
    │   ├── UnknownOutcomeError                    nobody can tell whether a step has had its effect
    │   ├── StepTimeout (TimeoutError)             a step took longer than it may
    │   ├── DeadlineExceeded (TimeoutError)        the time for the way forward is over
    │   ├── BranchCancelled                        a branch was given up, since another one has failed
    │   ├── RollbackRequested                      not a failure: somebody has asked for the way back
    │   ├── StateError (ValueError)                a state value that is not JSON, or cannot be coerced
    │   ├── IllegalHandoff                         a step handed over to one that may not receive it
    │   ├── WireError (ValueError)                 a document that cannot be read, and where
    │   ├── WorkflowFailed                         raised by ``report.raise_for_status()``
    │   └── RemoteError                            stands for an exception of a class unknown here
    ├── GiveUp                                     a step says that trying it again is of no use
    └── Skip                                       not an error: a step says that it had nothing to do

Errors travel as data (`encode_error`, `decode_error`): type, message, notes, causes and groups are
plain JSON values, so nothing in a report or a journal is ever unpickled.
"""

from __future__ import annotations

import binascii
import builtins
import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from automa._core.reports import WorkflowReport

__all__ = [
    "AsyncStepError",
    "AutomaError",
    "BranchCancelled",
    "CommandError",
    "DeadlineExceeded",
    "EncodedError",
    "EngineError",
    "GiveUp",
    "IllegalHandoff",
    "JournalError",
    "OwnershipLost",
    "RemoteError",
    "RemoteInterruption",
    "ResultError",
    "RollbackRequested",
    "RunExistsError",
    "RunIdError",
    "RunNotFoundError",
    "RunOwnedError",
    "RunRequestError",
    "SagaFileError",
    "Skip",
    "StateError",
    "StepTimeout",
    "StoreError",
    "UnknownOutcomeError",
    "UnknownStepError",
    "WireError",
    "WorkflowDefinitionError",
    "WorkflowFailed",
    "decode_error",
    "encode_error",
    "register_error",
]

ErrorClass = TypeVar("ErrorClass", bound=type[BaseException])


class AutomaError(Exception):
    """The base of every error that automa itself raises."""


class WorkflowDefinitionError(AutomaError, ValueError):
    """A workflow that cannot be run as it is written; nothing was started."""


class UnknownStepError(WorkflowDefinitionError, LookupError):
    """A step id that is not in the registry."""


class AsyncStepError(WorkflowDefinitionError):
    """An async step met in a synchronous run."""


class SagaFileError(WorkflowDefinitionError):
    """A saga file that cannot be used: nothing was started.

    Args:
        problem: What is wrong.
        file: The name of the file.
        line: In which line, from 1; 0 where it is none in particular.
        column: In which column, from 1.

    Attributes:
        problem: As above.
        file: As above.
        line: As above.
        column: As above.
    """

    def __init__(self, problem: str, file: str, line: int, column: int) -> None:
        self.problem: str = problem
        self.file: str = file
        self.line: int = line
        self.column: int = column
        place = f"{file}:{line}:{column}" if line else file
        super().__init__(f"{place}: {problem}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.file, self.line, self.column)


class CommandError(AutomaError):
    """A command of a saga file that could not be started, or has ended otherwise than it should."""


class RunIdError(AutomaError, ValueError):
    """A run id that is not of the allowed form; nothing was started."""


class RunExistsError(AutomaError):
    """A run with that id has been started before; nothing was started."""


class RunNotFoundError(AutomaError, LookupError):
    """There is no run with that id in the store."""


class RunOwnedError(AutomaError):
    """The run is being carried on by somebody who is alive; nothing was started."""


class RunRequestError(AutomaError):
    """What was asked of a run does not fit where it stands; nothing was changed."""


class JournalError(AutomaError, ValueError):
    """A journal that cannot be read, or does not fit the workflow; nothing was started."""


class StoreError(AutomaError):
    """A store that cannot be read or written; the cause is the error of the system."""


class EngineError(AutomaError):
    """An engine that cannot be used, or that refuses what it is asked."""


class OwnershipLost(StoreError):  # noqa: N818  # it names what has happened
    """The run was taken over by somebody else; nothing was written."""


class ResultError(AutomaError, ValueError):
    """A result that a journal cannot keep, or that is not of the type asked for.

    Raised in a step, it has failed, and is undone.
    """


class UnknownOutcomeError(AutomaError):
    """Nobody can tell whether a step has had its effect; it is undone like one that failed."""


class StepTimeout(AutomaError, TimeoutError):  # noqa: N818  # it names what has happened
    """A step took longer than its ``timeout`` or ``undo_timeout`` allows; its effect is unknown."""


class DeadlineExceeded(AutomaError, TimeoutError):  # noqa: N818  # it names what has happened
    """The time for the way forward is over; the way back has none of its own but ``undo_timeout``."""


class BranchCancelled(AutomaError):  # noqa: N818  # it names what has happened
    """A branch of a `Parallel` was given up, since another one had failed."""


class RollbackRequested(AutomaError):  # noqa: N818  # it names what has happened
    """Somebody has asked for the way back: the error of a run that had none of its own."""


class StateError(AutomaError, ValueError):
    """A value that cannot be kept in the state, or cannot be read as the type asked for."""


class IllegalHandoff(AutomaError):  # noqa: N818  # it names the act; the step's report is the error
    """A step handed over to one that may not receive it, or answered with something else."""


class WireError(AutomaError, ValueError):
    """A document that cannot be read as what it should be; the message names the place."""


class WorkflowFailed(AutomaError):  # noqa: N818  # reads as what happened: except WorkflowFailed
    """A workflow that failed; its cause (``__cause__``) is the first error.

    Attributes:
        report: The whole report of the run.
        rollback_errors: The errors of failed undos, or None where every undo succeeded.
    """

    def __init__(self, message: str, report: WorkflowReport) -> None:
        super().__init__(message)
        self.report = report
        errors = report.rollback_errors
        self.rollback_errors: BaseExceptionGroup[BaseException] | None = (
            BaseExceptionGroup("undos that failed", errors) if errors else None
        )

    def __reduce__(self) -> tuple[type[WorkflowFailed], tuple[str, WorkflowReport]]:
        return type(self), (str(self), self.report)


class RemoteError(AutomaError):
    """Stands for an exception whose class is not known here, and prints like the original.

    Attributes:
        type_name: The full name of the original class.
    """

    type_name: str = ""


class RemoteInterruption(BaseException):
    """Stands for what interrupted a run, where it was no `Exception` and its class is not known here.

    Attributes:
        type_name: The full name of the original class.
    """

    type_name: str = ""


class GiveUp(Exception):  # noqa: N818  # what a step says
    """Raised by a step's function to say that trying again is of no use: its retry ends at once.

    Derive errors of your own from it, or raise it from the error that says so.

    Example:
        >>> def run(ctx):
        ...     raise GiveUp("the card was refused")
    """


class Skip(Exception):  # noqa: N818  # not an error
    """Raised by a step's function to say that it had nothing to do.

    Example:
        >>> def run(ctx):
        ...     if ctx.shared.get("dry_run"):
        ...         raise Skip("dry run")
    """


class EncodedError(NamedTuple):
    """An exception as data, made of plain values only (seed: EncodedError).

    Attributes:
        type: The full name of the class, for example ``builtins.ValueError``.
        message: What ``str()`` of the exception gave; of a group, its message alone.
        args: The arguments of the exception where all are plain values, else None.
        attributes: What the exception kept on itself, as far as it is plain values.
        notes: The notes added with ``add_note``.
        cause: The exception that this one came from.
        context: True where that came by itself (``__context__``), False for ``raise … from``.
        exceptions: The members, where the exception is a group.
        interrupts: True where it is no `Exception`: it interrupted a run.
    """

    type: str
    message: str
    args: tuple[Any, ...] | None = None
    attributes: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    cause: EncodedError | None = None
    context: bool = False
    exceptions: tuple[EncodedError, ...] | None = None
    interrupts: bool = False

    def __str__(self) -> str:
        return self.message

    def chain(self) -> list[EncodedError]:
        """Return the error and its causes, outermost first."""
        links = [self]
        while (cause := links[-1].cause) is not None:
            links.append(cause)
        return links

    def shortened(self, most: int) -> EncodedError:
        """Return the error with a limited number of causes; the last one kept tells how many it stands for.

        Args:
            most: How many links the chain may have, the error itself included.
        """
        chain = self.chain()
        if len(chain) <= most:
            return self
        last = chain[most - 1]
        told = f"{last.message} ({len(chain) - most} more causes, the first: {chain[-1].message})"
        error = last._replace(message=told, args=None, cause=None)
        for link in reversed(chain[: most - 1]):
            error = link._replace(cause=error)
        return error

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON values; what is absent or empty is left out."""
        document: dict[str, Any] | None = None
        for link in reversed(self.chain()):  # not recursive: a chain may be longer than Python's stack
            outer = link.alone_to_dict()
            if document is not None:
                outer |= {"context": link.context, "cause": document}
            document = outer
        assert document is not None  # noqa: S101  # a chain holds at least the error itself
        return document

    def alone_to_dict(self) -> dict[str, Any]:
        """Return the error as JSON values, without its cause."""
        document: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.args is not None:
            document["args"] = _to_json(self.args)
        if self.attributes:
            document["attributes"] = _to_json(self.attributes)
        if self.notes:
            document["notes"] = list(self.notes)
        if self.exceptions is not None:
            document["exceptions"] = [member.to_dict() for member in self.exceptions]
        if self.interrupts:
            document["interrupts"] = True
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> EncodedError:
        """Read what `to_dict` wrote.

        Raises:
            WireError: Where the document has not that shape; the message names the place.
        """
        links: list[Any] = [document]
        while isinstance(links[-1], dict) and links[-1].get("cause") is not None:
            links.append(links[-1]["cause"])
        error: EncodedError | None = None
        for depth in reversed(range(len(links))):
            error = cls.alone_from_dict(links[depth], error, "error" + ".cause" * depth)
        assert error is not None  # noqa: S101  # there is at least the document itself
        return error

    @classmethod
    def alone_from_dict(cls, document: Any, cause: EncodedError | None, place: str) -> EncodedError:
        """Read an error whose cause has been read."""
        if not isinstance(document, dict):
            raise WireError(f"{place}: expected an object, found {type(document).__name__}")
        for key, kind in _ENCODED_FIELDS.items():
            if key in document and not isinstance(document[key], kind):
                raise WireError(
                    f"{place}.{key}: expected {kind.__name__}, found {type(document[key]).__name__}"
                )
        for index, note in enumerate(document.get("notes", ())):
            if not isinstance(note, str):
                raise WireError(f"{place}.notes[{index}]: expected str, found {type(note).__name__}")
        for key in ("type", "message"):
            if key not in document:
                raise WireError(f"{place}.{key}: missing")
        members = document.get("exceptions")
        args = document.get("args")
        return cls(
            type=document["type"],
            message=document["message"],
            args=None if args is None else tuple(_from_json(args)),
            attributes=_from_json(document.get("attributes")),
            notes=tuple(document.get("notes", ())),
            cause=cause,
            context=document.get("context", False),
            exceptions=None if members is None else tuple(cls.from_dict(member) for member in members),
            interrupts=document.get("interrupts", False),
        )


_ENCODED_FIELDS: dict[str, type] = {
    "type": str,
    "message": str,
    "args": list,
    "attributes": dict,
    "notes": list,
    "context": bool,
    "exceptions": list,
    "interrupts": bool,
}

_registered: dict[str, type[BaseException]] = {}


def register_error(cls: ErrorClass) -> ErrorClass:
    """Make a class of exceptions come back as itself from `decode_error`; usable as a decorator.

    An exception comes back with its arguments and with those of its attributes that are plain
    values; its ``__init__`` is not called again.

    Args:
        cls: The class of exceptions.

    Raises:
        TypeError: Where it is not a class of exceptions.
    """
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        raise TypeError(f"register_error takes a class of exceptions, not {cls!r}")
    _registered[full_name(cls)] = cls
    return cls


_OF_RUNS: tuple[type[BaseException], ...] = (
    BranchCancelled,
    DeadlineExceeded,
    GiveUp,
    IllegalHandoff,
    ResultError,
    RollbackRequested,
    StateError,
    StepTimeout,
    UnknownOutcomeError,
)
"""Errors of ours that a journal may have: what is asked of them must not depend on a resume."""


def full_name(cls: type) -> str:
    """Return the name under which a class of exceptions travels: module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def text_of(error: BaseException) -> str:
    """Return ``str()`` of an exception; a broken ``__str__`` must not hide the exception itself."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  # it is a user's method
        return f"<no text: its __str__ raised {type(problem).__name__}>"


_LONGEST_REPR = 200


def repr_of(value: object) -> str:
    """Return ``repr()`` of anything, for a message: not too long, and whatever its ``__repr__`` does."""
    try:
        text = repr(value)
    except Exception as problem:  # noqa: BLE001  # it is a user's method
        return f"<{type(value).__name__}, whose __repr__ raised {type(problem).__name__}>"
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"


def encode_error(error: BaseException) -> EncodedError:
    """Return an exception as data, with its causes, notes and members.

    Args:
        error: Any exception; a chain of causes that comes back to itself is cut there. A group that is
            deep in others is kept without its members: its message counts them.
    """
    return _encode_chain(error, frozenset(), 0)


def _encode_chain(error: BaseException, outside: frozenset[int], depth: int) -> EncodedError:
    """Encode an exception and its causes, but for those of the groups around it."""
    links: list[BaseException] = []
    seen = set(outside)
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        links.append(inner)
        if inner.__cause__ is not None:
            inner = inner.__cause__
        else:
            inner = None if inner.__suppress_context__ else inner.__context__
    encoded: EncodedError | None = None
    for link in reversed(links):
        encoded = _encode_alone(link, encoded, frozenset(seen), depth)
    return encoded or EncodedError(full_name(type(error)), text_of(error))


_DEEPEST_GROUP = 50  # each level takes some of Python's stack, and of its reader's patience


def _encode_alone(
    error: BaseException, cause: EncodedError | None, seen: frozenset[int], depth: int
) -> EncodedError:
    is_group = isinstance(error, BaseExceptionGroup)
    members = error.exceptions if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST_GROUP else None
    args: tuple[Any, ...] = error.args
    if isinstance(error, OSError) and error.filename is not None:  # OSError keeps only two in args
        args = (error.errno, error.strerror, error.filename)
        args += () if error.filename2 is None else (None, error.filename2)
    attributes = {
        key: value for key, value in vars(error).items() if not key.startswith("__") and _is_plain(value)
    }
    notes = getattr(error, "__notes__", None)
    return EncodedError(
        type=full_name(type(error)),
        message=text_of(error) if members is None else error.message,  # type: ignore[attr-defined]
        args=args if not is_group and _is_plain(args) else None,
        attributes=attributes or None,
        notes=tuple(map(str, notes)) if isinstance(notes, list | tuple) else (),
        cause=cause,
        context=cause is not None and error.__cause__ is None,
        exceptions=None
        if members is None
        else tuple(_encode_chain(each, seen, depth + 1) for each in members),
        interrupts=not isinstance(error, Exception),
    )


def decode_error(encoded: EncodedError) -> BaseException:
    """Return the exception that an `EncodedError` stands for.

    A builtin or a registered class comes back as itself, any other as a `RemoteError` (a
    `RemoteInterruption` where it was no `Exception`) that
    prints like the original. Nothing is imported or unpickled.

    Args:
        encoded: The error as data.
    """
    error: BaseException | None = None
    for link in reversed(encoded.chain()):
        outer = _decode_alone(link)
        if error is not None and link.context:
            outer.__context__ = error
        elif error is not None:
            outer.__cause__ = error
        error = outer
    assert error is not None  # noqa: S101  # a chain holds at least the error itself
    return error


def _decode_alone(encoded: EncodedError) -> BaseException:
    error = _decode_group(encoded) if encoded.exceptions else _decode_single(encoded)
    for key, value in (encoded.attributes or {}).items():
        if not key.startswith("__"):
            vars(error)[key] = value
    for note in encoded.notes:
        error.add_note(note)
    return error


def _decode_group(encoded: EncodedError) -> BaseException:
    members = [decode_error(member) for member in encoded.exceptions or ()]
    group = BaseExceptionGroup(encoded.message, members)  # an ExceptionGroup where all members allow it
    if encoded.type not in {full_name(ExceptionGroup), full_name(BaseExceptionGroup)}:
        group.add_note(f"this group was a {encoded.type}")
    return group


def _decode_single(encoded: EncodedError) -> BaseException:
    args = (encoded.message,) if encoded.args is None else encoded.args
    registered = _registered.get(encoded.type)
    if registered is not None:
        try:
            error = registered.__new__(registered, *args)
            error.args = args
        except Exception:  # noqa: BLE001  # its __new__ wants what was not kept, or nothing can be set on it
            return _remote(encoded)
        return error
    module, _, name = encoded.type.rpartition(".")
    builtin = getattr(builtins, name, None) if module == "builtins" else None
    if isinstance(builtin, type) and issubclass(builtin, BaseException):
        try:
            error = builtin(*args)
            return error if str(error) == encoded.message else builtin(_Verbatim(encoded.message))
        except TypeError:  # its arguments were not plain values, and a message alone will not do
            pass
    return _remote(encoded)


class _Verbatim(str):
    """A message that also is its own ``repr``: a KeyError prints the ``repr`` of what it was given."""

    __slots__ = ()

    __repr__ = str.__str__


_Remote = type[RemoteError] | type[RemoteInterruption]

_remote_classes: dict[tuple[str, _Remote], _Remote] = {}


def _remote(encoded: EncodedError) -> BaseException:
    """Return what stands for an exception whose class is not known here."""
    return _remote_class(encoded.type, RemoteInterruption if encoded.interrupts else RemoteError)(
        encoded.message
    )


def _remote_class(type_name: str, base: _Remote) -> _Remote:
    """Return a class that carries the original's name, so that it prints like it."""
    known = _remote_classes.get((type_name, base))
    if known is not None:
        return known
    module, _, name = type_name.rpartition(".")
    namespace = {"__module__": module or "builtins", "__doc__": base.__doc__, "type_name": type_name}
    try:
        made = type(name or base.__name__, (base,), namespace)
    except ValueError:  # the document has a name that no class can have
        made = type(base.__name__, (base,), namespace)
    if len(_remote_classes) >= _MOST_REMOTE_CLASSES:
        _remote_classes.clear()  # the names come from documents: they must not fill the memory
    _remote_classes[type_name, base] = made
    return made


_MOST_REMOTE_CLASSES = 1_000


def _is_plain(value: Any, depth: int = 20) -> bool:
    if value is None or type(value) in {bool, int, float, str, bytes}:
        return True
    if depth and type(value) in {list, tuple}:
        return all(_is_plain(item, depth - 1) for item in value)
    if depth and type(value) is dict:
        return all(type(key) is str and _is_plain(item, depth - 1) for key, item in value.items())
    return False


_BYTES = "$bytes"  # the key under which bytes travel in JSON


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: binascii.b2a_base64(value, newline=False).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {f"${key}" if key.startswith("$") else key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {_BYTES}:
            try:
                return binascii.a2b_base64(value[_BYTES])
            except (TypeError, ValueError) as error:
                raise WireError(f"error: {value!r} stands for no bytes: {error}") from None
        return {key[1:] if key.startswith("$$") else key: _from_json(item) for key, item in value.items()}
    return value


_registered.update({full_name(cls): cls for cls in _OF_RUNS})
