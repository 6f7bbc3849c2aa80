"""``python -m modelimg``."""

from __future__ import annotations

from modelimg.cli import main

main()
