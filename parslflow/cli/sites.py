"""The command that lists the sites."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parslflow.sites import SiteFunction

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    sites = commands.add_parser(
        "sites",
        help="list the sites and their options",
        description="List the sites that --site knows, each with its options and their defaults.",
    )
    sites.set_defaults(command=_sites)


def _sites(options: argparse.Namespace) -> None:
    from parslflow import sites

    for name, function in sites.known().items():
        print(f"{name}: {_first_line(function)}")
        for option, parameter in sites.options(function).items():
            if parameter.default is inspect.Parameter.empty:
                print(f"  {option}=…  (needed)")
            else:
                print(f"  {option}={parameter.default}")


def _first_line(function: SiteFunction) -> str:
    module = inspect.getmodule(function)
    text = (module.__doc__ if module else None) or function.__doc__ or ""
    return text.strip().partition("\n")[0]
