"""The git and DVC repository that CMF keeps a run's versions in: inside the run directory, alone.

CMF changes the branch of the git repository that it stands in. It must never stand in the user's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.rundir import write_private

# CMF's commands know a remote by these names only.
_FOLDER, _S3, _S3_COMPATIBLE = "local-storage", "amazons3", "minio"

_DVC_CONFIG = f"""[core]
    remote = {_FOLDER}
    analytics = false
    check_update = false
[cache]
    type = "reflink,hardlink,copy"
['remote "{_FOLDER}"']
    url = ../../dvc-remote
"""
# The history is of the .dvc files alone. One pattern for all, since DVC's one for each would be
# read again for every file.
_GIT_IGNORE = """*
!*/
!*.dvc
!/.gitignore
!/.dvcignore
!/.dvc/config
!/.dvc/.gitignore
"""
_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"
_DEFAULT_SERVER = "http://127.0.0.1:80"


def enter(folder: Path, chosen: ProvenanceSettings) -> None:
    """Go into CMF's folder, which is made if it is not there yet.

    CMF, git and DVC read their settings from where they stand when they are imported and called.

    Raises:
        UsageError: the keys to the remote cannot be read.
        ParslflowError: there is no git, or it failed.
    """
    isolate(folder.parent / "settings")
    if not folder.exists():
        _make(folder)
    # A writer that was killed in the middle of a git command leaves this, and it stops all others.
    (folder / ".git" / "index.lock").unlink(missing_ok=True)
    configure(folder, chosen)
    os.chdir(folder)


def configure(folder: Path, chosen: ProvenanceSettings) -> None:
    """Tell DVC and CMF where remote and server are, of which a moved run has the old places.

    Raises:
        UsageError: the keys to the remote cannot be read.
    """
    write_private(folder / ".dvc" / "config.local", _remote(folder, chosen))
    (folder / ".cmfconfig").write_text(f"[cmf]\nserver-url = {chosen.server or _DEFAULT_SERVER}\n")


def head() -> str:
    """The commit that the repository is at."""
    return _git(["rev-parse", "HEAD"]).decode().strip()


def commit(paths: Sequence[str], message: str) -> None:
    """Commit files, if they are not there as they are."""
    if not paths:
        return
    _git(
        ["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"],
        "\0".join(paths).encode(),
    )
    if _git(["diff", "--cached", "--name-only"]):
        _git(["commit", "--quiet", "--file=-"], message.encode())


def _git(arguments: list[str], given: bytes = b"", folder: Path | None = None) -> bytes:
    try:
        return subprocess.run(
            ["git", *arguments], input=given, cwd=folder, check=True, capture_output=True
        ).stdout
    except FileNotFoundError:
        raise ParslflowError(
            "CMF keeps its versions with git, and the program 'git' is not on PATH: install it."
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().replace("\n", " ")
        raise ParslflowError(f"git {arguments[0]} failed: {said}") from None


def isolate(settings: Path) -> None:
    """Keep the user's git, DVC and CMF settings, and a git command that we run under, out."""
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
        # Else below the home directory, which need not be there.
        CMF_LOG_FILE=str(settings / "cmflib.log"),
        # CMF calls 'pip' by name.
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
    for arguments in (
        # CMF names the branch after its database.
        ["init", "--quiet", "--template=", "--initial-branch=mlmd"],
        ["config", "user.name", "parslflow"],
        ["config", "user.email", "parslflow@localhost"],
        ["config", "gc.auto", "0"],
        ["remote", "add", "origin", "file:///dev/null"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=Begin"],
    ):
        _git(arguments, folder=new)
    new.rename(folder)


def _remote(folder: Path, chosen: ProvenanceSettings) -> str:
    """DVC's settings of where the versions are pushed to: of this place, so in no commit."""
    if chosen.remote is None or not chosen.remote.startswith("s3://"):
        # CMF's commands take a relative path from elsewhere than DVC does.
        place = chosen.remote or str(folder.parent.resolve() / "dvc-remote")
        return f"['remote \"{_FOLDER}\"']\n    url = {_quoted(place)}\n"
    name = _S3 if chosen.endpoint is None else _S3_COMPATIBLE
    values = {"url": chosen.remote}
    if chosen.endpoint is not None:
        values["endpointurl"] = chosen.endpoint
    if chosen.keys is not None:
        values["access_key_id"], values["secret_access_key"] = chosen.keys
    lines = "".join(f"    {key} = {_quoted(value)}\n" for key, value in values.items())
    return f"[core]\n    remote = {name}\n['remote \"{name}\"']\n{lines}"


def _quoted(value: str) -> str:
    """A value of DVC's settings, in which a '#' would begin a comment."""
    return f"'{value}'" if '"' in value else f'"{value}"'
