"""The git and DVC repository that CMF keeps a run's versions in: inside the run directory, alone.

CMF changes the branch of the git repository that it stands in. It must never stand in the user's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_DVC_CONFIG = """[core]
    remote = local
    analytics = false
    check_update = false
    autostage = true
[cache]
    type = "reflink,hardlink,copy"
['remote "local"']
    url = ../../dvc-remote
"""
# MLMD's database is no part of the history, and neither is what DVC keeps.
_GIT_IGNORE = "/mlmd*\n"
_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"


def enter(folder: Path) -> None:
    """Go into CMF's folder, which is made if it is not there yet.

    CMF, git and DVC read their settings from where they stand when they are imported and called.
    """
    isolate(folder.parent / "settings")
    if not folder.exists():
        _make(folder)
    # A writer that was killed in the middle of a git command leaves this, and it stops all others.
    (folder / ".git" / "index.lock").unlink(missing_ok=True)
    os.chdir(folder)


def isolate(settings: Path) -> None:
    """Keep the user's git and DVC settings, and a git command that we run under, out."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "DVC_")) or name == "CONFIG_FILE":
            del os.environ[name]
    os.environ.update(
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_NOSYSTEM="1",
        DVC_NO_ANALYTICS="1",
        DVC_GLOBAL_CONFIG_DIR=str(settings / "global"),
        DVC_SYSTEM_CONFIG_DIR=str(settings / "system"),
        DVC_SITE_CACHE_DIR=str(settings / "site-cache"),
        # CMF calls 'dvc' and 'pip' by name.
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    )


def _make(folder: Path) -> None:
    """Make the folder with git and DVC: whole, or not at all."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / ".dvc").mkdir(parents=True)
    (new / ".dvc" / "config").write_text(_DVC_CONFIG)
    (new / ".dvc" / ".gitignore").write_text(_DVC_IGNORE)
    (new / ".dvcignore").touch()
    (new / ".gitignore").write_text(_GIT_IGNORE)
    for command in (
        # CMF names the branch after its database.
        ["init", "--quiet", "--template=", "--initial-branch=mlmd"],
        ["config", "user.name", "parslflow"],
        ["config", "user.email", "parslflow@localhost"],
        ["config", "gc.auto", "0"],
        ["remote", "add", "origin", "file:///dev/null"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=Begin"],
    ):
        subprocess.run(["git", *command], cwd=new, check=True)
    new.rename(folder)
