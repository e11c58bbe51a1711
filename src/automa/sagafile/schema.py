"""The JSON Schema of saga files, for editors and other tools."""

from __future__ import annotations

from typing import Any

from automa.sagafile import definition as d
from automa.sagafile import variables as v

_TEXT = {"type": ["string", "number", "boolean"]}
_SPAN = {
    "description": "A span of time: a number of seconds, or 500ms, 30s, 10m, 2h, 1d.",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]+)?(ms|s|m|h|d)?$"},
    ],
}


def _pattern(pattern: Any) -> dict[str, Any]:
    return {**_TEXT, "pattern": f"^{pattern.pattern}$"}


def _object(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(required),
        "additionalProperties": False, **more,
    }  # fmt: skip


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of saga files.

    What it cannot say, that an output is known to later steps alone, say, `load` checks all the same.
    """
    steps = {"type": "array", "items": _ref("step"), "minItems": 1}
    id = {"$ref": "#/$defs/id"}
    description = _TEXT
    modes = {"mode": {"enum": list(d.MODES)}, "rollback_mode": {"enum": list(d.ROLLBACK_MODES)}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "automa saga file",
        **_object(
            {
                "automa": {"enum": [int(d.FORMAT), d.FORMAT], "description": "The version of the format."},
                "id": id,
                "description": description,
                "version": _pattern(d.VERSION),
                "vars": {
                    "type": "object",
                    "propertyNames": _pattern(v.NAME),
                    "additionalProperties": {"anyOf": [_TEXT, _ref("variable")]},
                },
                "secrets": {"type": "array", "items": _pattern(v.NAME), "uniqueItems": True},
                "env": _ref("env"),
                "cwd": _TEXT,
                "deadline": _SPAN,
                **modes,
                "redact": {"type": "array", "items": _TEXT},
                "ignore": {"type": "object", "additionalProperties": _TEXT},
                "retention": {"enum": list(d.RETENTIONS)},
                "steps": steps,
            },
            "automa", "id", "steps",
        ),
        "$defs": {
            "id": _pattern(d.ID),
            "variable": _object(
                {
                    "type": {"enum": list(v.TYPES)},
                    "default": _TEXT,
                    "choices": {"type": "array", "items": _TEXT},
                    "description": description,
                }
            ),
            "env": {
                "type": "object",
                "propertyNames": {
                    "pattern": f"^(?!VAR_|SECRET_|OUTPUT_|AUTOMA_){d.ENV_NAME.pattern}$",
                },
                "additionalProperties": _TEXT,
            },
            "argument": {
                "anyOf": [
                    _TEXT,
                    _object({"var": _TEXT}, "var"),
                    _object({"output": _TEXT}, "output"),
                ]
            },
            "command": {
                "anyOf": [
                    {"type": "array", "items": _ref("argument"), "minItems": 1},
                    _object(
                        {
                            "shell": {
                                "anyOf": [
                                    {"enum": list(d.SHELLS)},
                                    {"type": "array", "items": _TEXT, "minItems": 1},
                                ]
                            },
                            "script": _TEXT,
                        },
                        "shell", "script",
                    ),
                ]
            },
            "condition": {
                "anyOf": [
                    _object({"run": _ref("command")}, "run"),
                    _object({"var": _TEXT, "is": _TEXT}, "var"),
                ]
            },
            "outputs": {
                "anyOf": [
                    _ref("names"),
                    _object({"format": {"enum": list(d.FORMS)}, "names": _ref("names")}, "format", "names"),
                ]
            },
            "names": {
                "type": "array", "items": _pattern(d.OUTPUT_NAME), "minItems": 1, "uniqueItems": True,
            },
            "retry": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    _object(
                        {
                            "attempts": {"type": "integer", "minimum": 1},
                            "initial": _SPAN,
                            "maximum": _SPAN,
                            "multiplier": {"type": "number", "minimum": 1},
                            "jitter": {"type": "boolean"},
                        },
                        "attempts",
                    ),
                ]
            },
            "step": {
                "anyOf": [
                    _object(
                        {
                            "id": id,
                            "description": description,
                            **{each: _ref("command") for each in ("run", "undo", "verify")},
                            "when": _ref("condition"),
                            "outputs": _ref("outputs"),
                            "env": _ref("env"),
                            "cwd": _TEXT,
                            "timeout": _SPAN,
                            "undo_timeout": _SPAN,
                            "retry": _ref("retry"),
                            "undo_retry": _ref("retry"),
                            "pivot": {"type": "boolean"},
                            "irreversible": {"type": "boolean"},
                        },
                        "id", "run",
                    ),
                    _object(
                        {
                            "id": id,
                            "description": description,
                            "parallel": steps,
                            "limit": {"type": "integer", "minimum": 1},
                            "on_failure": {"enum": list(d.ON_FAILURE)},
                        },
                        "id", "parallel",
                    ),
                    _object(
                        {"id": id, "description": description, "workflow": steps, **modes}, "id", "workflow",
                    ),
                ]
            },
        },
    }  # fmt: skip
