"""The options of commands that say where something runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parslflow.sites import Choice


def add_site(command: argparse.ArgumentParser, default: str | None = "local") -> None:
    """Add ``--site`` and ``--site-option``; without a default no site may be given."""
    command.add_argument(
        "--site",
        default=default,
        metavar="NAME|FILE.py",
        help=f"where the stages run, see 'parslflow sites' (default: {default or 'as before'})",
    )
    command.add_argument(
        "--site-option",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the site, such as account=abc; may be repeated",
    )


def add_runs(command: argparse.ArgumentParser) -> None:
    """Add ``--runs``."""
    command.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="the folder for run directories (default: runs)",
    )


def choice(options: argparse.Namespace) -> Choice:
    """The site that was chosen."""
    from parslflow.sites import Choice

    return Choice(options.site, dict(options.site_option))


def _assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value
