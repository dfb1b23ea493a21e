from __future__ import annotations

from pathlib import Path

import pytest

from parslflow import sites
from parslflow.errors import UsageError


@pytest.mark.parametrize("path", sorted(sites.FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_site_in_the_repository_has_the_four_executors(path: Path, tmp_path: Path) -> None:
    site = sites.load(path.stem, tmp_path)
    assert {executor.label for executor in site.parsl.executors} == set(sites.EXECUTORS)
    assert any("{ranks}" in part for part in site.launch)


def test_the_local_site_is_encrypted(tmp_path: Path) -> None:
    site = sites.load("local", tmp_path)
    assert all(executor.encrypted for executor in site.parsl.executors)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "add a function site"),
        ("def site(run_dir):\n    return 3\n", "returned int: return a Site"),
        (
            "from parsl.config import Config\nfrom parsl.executors import ThreadPoolExecutor\n"
            "from parslflow.sites import Site\n"
            "def site(run_dir):\n"
            "    return Site(Config([ThreadPoolExecutor('simulation')]), launch=('x',))\n",
            "no executor is labelled 'training'",
        ),
    ],
)
def test_a_wrong_site_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as raised:
        sites.load(str(path), tmp_path)
    assert str(path) in str(raised.value)


def test_an_unknown_site_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"choose from .*local"):
        sites.load("locl", tmp_path)


def test_samplers_without_workers_are_refused(tmp_path: Path) -> None:
    site = sites.load("local", tmp_path)
    sites.demand_workers("local", site, "sampling", 2)
    with pytest.raises(UsageError, match="--site local: the executor 'sampling' has 2 workers"):
        sites.demand_workers("local", site, "sampling", 3)
