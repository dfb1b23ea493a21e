"""Starts the Phillips model as this machine's site does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from parslflow import sites

PROGRAM = Path(sys.prefix) / "bin" / "phillips"


def run(
    folder: Path, namelist: str, ranks: int, environment: Mapping[str, str] | None = None
) -> str:
    """Run the model in ``folder`` to its end; what it printed.

    Args:
        folder: Where its input and what it writes lie.
        namelist: The text of its input.
        ranks: How many.
        environment: Variables besides those of this process and the site.

    Raises:
        CalledProcessError: It failed.
    """
    (folder / "input.nml").write_text(namelist, encoding="utf-8")
    site = sites.load(sites.Choice("local"), folder)
    command = [part.replace("{ranks}", str(ranks)) for part in site.launch]
    done = subprocess.run(
        [*command, str(PROGRAM), "input.nml"],
        cwd=folder,
        env=os.environ | site.environment | dict(environment or {}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout
