"""Which errors are meant: classes of exceptions, or a function that tells."""

from __future__ import annotations

from collections.abc import Callable

from automa.errors import WorkflowDefinitionError, repr_of

ErrorSelection = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""Which errors are meant: a class, a tuple of classes, or a function of the error."""


def check_selection(selection: object, what: str) -> None:
    """Check that something selects errors.

    Raises:
        WorkflowDefinitionError: Where it does not.
    """
    classes = selection if isinstance(selection, tuple) else (selection,)
    if all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        return
    if isinstance(selection, tuple | type) or not callable(selection):
        raise WorkflowDefinitionError(
            f"{what} takes classes of exceptions or a function, not {repr_of(selection)}"
        )


def selects(selection: ErrorSelection, error: BaseException) -> bool:
    """Return whether an error is one of those that are meant."""
    if isinstance(selection, tuple | type):
        return isinstance(error, selection)
    return bool(selection(error))
