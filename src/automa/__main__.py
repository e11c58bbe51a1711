"""``python -m automa``: the command ``automa``."""

import sys

from automa.cli import main

sys.exit(main())
