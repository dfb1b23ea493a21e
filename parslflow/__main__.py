"""``python -m parslflow`` is ``parslflow``."""

from __future__ import annotations

import sys

from parslflow.cli import main

sys.exit(main())
