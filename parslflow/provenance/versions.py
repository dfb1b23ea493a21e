"""Gives files to DVC inside this process, in place of what cmflib does for each file.

cmflib starts a ``dvc`` process, which takes a second, and then asks twice where the file went; for
each answer DVC reads all ``.dvc`` files.
"""

from __future__ import annotations

import functools
import sys

from cmflib import cmf
from dvc.exceptions import DvcException  # type: ignore[import-untyped]
from dvc.repo import Repo  # type: ignore[import-untyped]

_md5: dict[str, str] = {}


def take_over() -> None:
    """Have cmflib call this module; the process stands in the folder that DVC keeps."""
    cmf.commit_output = _add
    cmf.dvc_get_hash = _hash
    cmf.dvc_get_url = _url
    # The environment of this process stays the same; asking pip for it takes half a second.
    cmf.get_python_env = functools.cache(cmf.get_python_env)


@functools.cache
def _repository() -> Repo:
    return Repo()


def _add(path: str, _: int) -> None:
    """Have DVC keep this version of a file, and stage its ``.dvc`` file in git.

    After a failure the file has no hash, which is how cmflib knows.
    """
    _md5.pop(path, None)
    try:
        (stage,) = _repository().add([path])
    except DvcException as error:
        print(f"DVC did not add {path}: {error}", file=sys.stderr)
    else:
        _md5[path] = stage.outs[0].hash_info.value


def _hash(path: str) -> str:
    return _md5.get(path, "")


def _url(path: str, _: bool = False) -> str:
    """Where the default remote would keep the version."""
    return str(_repository().cloud.get_url_for(None, _md5[path]))
