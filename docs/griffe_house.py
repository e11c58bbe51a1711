"""How the docstrings of this project differ from what their reader takes them for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from griffe import Extension

if TYPE_CHECKING:
    from griffe import Class, Object


class HouseStyle(Extension):
    """Reads `Example:` as `Examples:`, and `::` before a block as a colon; drops magic methods."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Amend the docstring of an object."""
        if obj.docstring is not None:
            text = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Drop what the language documents; `__init__` has the signature of its class."""
        for name in [each for each in cls.members if each.startswith("__") and each != "__init__"]:
            del cls.members[name]
