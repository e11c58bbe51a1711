"""What the outside sees: names, imports, and the promises of the README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import automa
import automa.abc
import automa.conformance
import automa.engines
import automa.errors
import automa.observe
import automa.observe.otel
import automa.operations
import automa.pictures
import automa.plan
import automa.plan.lint
import automa.sagafile
import automa.stores
import automa.testing
import automa.wire.v0
import automa.wire.v1

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_frozen():
    """A name is added or taken away on purpose: this list, the reference and the changelog change with it."""
    assert automa.__all__ == [
        "Action",
        "Answered",
        "AsyncStepError",
        "AttemptFailed",
        "AutomaError",
        "Begun",
        "BranchCancelled",
        "Cancelled",
        "CommandError",
        "Context",
        "DeadlineExceeded",
        "Effect",
        "Ended",
        "EngineError",
        "ExecutionMode",
        "Expand",
        "Expanded",
        "Failure",
        "GiveUp",
        "Handoff",
        "IllegalHandoff",
        "JournalError",
        "Late",
        "Outcome",
        "OwnershipLost",
        "Parallel",
        "PrecisionWarning",
        "Record",
        "Remaining",
        "RemoteError",
        "RemoteInterruption",
        "Request",
        "Requested",
        "ResultError",
        "Resumed",
        "Retry",
        "RollbackMode",
        "RollbackRequested",
        "RunExistsError",
        "RunIdError",
        "RunNotFoundError",
        "RunOwnedError",
        "RunRequestError",
        "SagaBuild",
        "SagaFileError",
        "SagaPrepare",
        "SagaRun",
        "SagaUndo",
        "SagaVerify",
        "SagaWhen",
        "Secret",
        "Skip",
        "Started",
        "State",
        "StateError",
        "Status",
        "Step",
        "StepIDs",
        "StepOptions",
        "StepRegistry",
        "StepReport",
        "StepTimeout",
        "StoreError",
        "Success",
        "Suspended",
        "UnknownOutcomeError",
        "UnknownStepError",
        "WireError",
        "Workflow",
        "WorkflowDefinitionError",
        "WorkflowFailed",
        "WorkflowReport",
        "__version__",
        "step",
    ]


def test_the_names_for_saga_files_are_frozen():
    """automa.sagafile has these names, and no others."""
    assert automa.sagafile.__all__ == ["SagaFile", "json_schema", "load", "loads"]


def test_the_observers_that_are_there_already_are_frozen():
    """automa.observe has these names, and no others."""
    assert automa.observe.__all__ == ["LoggingObserver", "ProgressObserver", "StepFilter"]
    assert automa.observe.otel.__all__ == ["OtelObserver"]


def test_the_pictures_are_frozen():
    """automa.pictures has these names, and no others."""
    assert automa.pictures.__all__ == [
        "Journaled",
        "report_to_fragment",
        "report_to_html",
        "report_to_mermaid",
        "report_to_svg",
    ]


def test_every_public_name_is_in_the_reference():
    """docs/reference/api.md has each name that can be imported."""
    reference = (ROOT / "docs" / "reference" / "api.md").read_text()
    modules = (
        automa,
        automa.abc,
        automa.errors,
        automa.conformance,
        automa.engines,
        automa.observe,
        automa.observe.otel,
        automa.operations,
        automa.pictures,
        automa.plan,
        automa.plan.lint,
        automa.sagafile,
        automa.stores,
        automa.testing,
        automa.wire.v0,
        automa.wire.v1,
    )
    missing = [name for module in modules for name in module.__all__ if f"`{name}" not in reference]
    assert missing == []


def test_the_exception_tree_in_the_docstring_is_the_real_one():
    """The tree at the head of errors.py names every exception class of the module, and no other."""
    drawn = set(re.findall(r"[├└]── (\w+)", automa.errors.__doc__))
    real = {
        name
        for name, value in vars(automa.errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == "automa.errors"
    }
    assert drawn == real


def test_importing_automa_imports_little():
    """`import automa` brings in neither asyncio, sqlite3 nor anything that is not in the standard library."""
    code = (
        "import sys; before = set(sys.modules); import automa; new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(m for m in new if m in {'asyncio', 'sqlite3'} or m not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['automa']"


def test_the_core_alone_tells_no_time():
    """Without the runtime nobody has set a clock, and the core answers with the zero time of the seed."""
    code = (
        "import sys, types\n"
        "package = types.ModuleType('automa'); package.__path__ = [sys.argv[1]]; sys.modules['automa'] = package\n"
        "from automa._core.reports import StepReport\n"
        "print(StepReport('a', 'run').start_time.isoformat())\n"
    )
    arguments = [sys.executable, "-c", code, str(Path(automa.__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0001-01-01T00:00:00+00:00"


def test_without_the_cli_extra_the_command_says_what_to_install():
    """Where typer is missing, `automa` ends with one line and status 64."""
    code = "import sys; sys.modules['typer'] = None; from automa.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert done.stderr.count("\n") == 1
    assert "pip install 'automa-saga[cli]'" in done.stderr


def test_without_the_yaml_extra_the_error_says_what_to_install():
    """Where PyYAML is missing, to_yaml raises an ImportError that names the extra."""
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from automa import Workflow\nfrom automa.wire import v0\n"
        "try:\n    v0.to_yaml(Workflow('w').start())\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'automa-saga[yaml]'" in done.stdout


def test_the_ci_runs_the_command_of_the_readme():
    """README.md has one line that installs and tests, and .ci/run takes it from there."""
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if "'.[test]'" in line]
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert "grep -F \"'.[test]'\" README.md" in (ROOT / ".ci" / "run").read_text()
