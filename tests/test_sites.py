from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from parsl.executors import HighThroughputExecutor
from parsl.executors import ThreadPoolExecutor

from parslflow import sites
from parslflow.errors import UsageError

SCRIPTS = Path(__file__).with_name("submit_scripts")


NEEDED = {"account": "abc123"}


def chosen(name: str) -> sites.Choice:
    """The site with what it needs and no more."""
    there = sites.options(sites.find(name))
    return sites.Choice(name, {key: value for key, value in NEEDED.items() if key in there})


@pytest.fixture(autouse=True)
def lan(monkeypatch: pytest.MonkeyPatch) -> None:
    """No site's network is here."""
    monkeypatch.setattr("parslflow.blocks.address_by_interface", lambda name: f"at-{name}")


@pytest.mark.parametrize("name", sorted(path.stem for path in sites.FOLDER.glob("*.py")))
def test_every_site_in_the_repository_is_whole(name: str, tmp_path: Path) -> None:
    site = sites.load(chosen(name), tmp_path)
    assert {executor.label for executor in site.parsl.executors} == set(sites.EXECUTORS)
    assert any("{ranks}" in part for part in site.launch)
    for executor in site.parsl.executors:
        assert isinstance(executor, ThreadPoolExecutor) or executor.encrypted  # type: ignore[attr-defined]


BATCH = {
    "slurm": ("sbatch", {"partition": "debug", "account": "abc123", "nodes": "2", "mpi": "pmix"}),
    "pbs": ("qsub", {"queue": "debug", "account": "abc123", "nodes": "2", "cpus_per_node": "8"}),
    "perlmutter": ("sbatch", NEEDED),
    "frontier": ("sbatch", NEEDED),
    "delta": ("sbatch", NEEDED),
    "anvil": ("sbatch", NEEDED),
    "expanse": ("sbatch", NEEDED),
    "polaris": ("qsub", NEEDED),
    "aurora": ("qsub", NEEDED),
    "derecho": ("qsub", NEEDED),
}


def test_every_site_with_a_scheduler_has_recorded_scripts() -> None:
    names = {path.stem for path in sites.FOLDER.glob("*.py")}
    assert names - {"local", "local_threads"} == set(BATCH)


@pytest.mark.parametrize("name", BATCH)
def test_the_submit_scripts_are_the_recorded_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, options = BATCH[name]
    # In place of the scheduler: says that it took the script.
    program = tmp_path / "bin" / command
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Submitted batch job 7\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    site = sites.load(sites.Choice(name, options), tmp_path)
    found = []
    for executor in site.parsl.executors:
        assert isinstance(executor, HighThroughputExecutor)
        provider = executor.provider
        provider.script_dir = str(tmp_path / executor.label)
        Path(provider.script_dir).mkdir()
        provider.submit(f"WORKERS OF {executor.label}", 1, "parslflow")
        [script] = Path(provider.script_dir).iterdir()
        found.append(f"### {executor.label}\n{script.read_text()}")
    text = "\n".join([f"### launch\n{' '.join(site.launch)}", *found])
    text = text.replace(str(tmp_path), "RUN")
    text = re.sub(r"parslflow\.[0-9.]+", "parslflow.N", text)
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    recorded = SCRIPTS / f"{name}.txt"
    if "PARSLFLOW_RECORD" in os.environ:
        recorded.write_text(text)
    assert text == recorded.read_text()


@pytest.mark.parametrize(
    ("walltime", "seconds"), [("02:00:30", 2 * 3600 + 30 - 120), ("00:02:00", 60)]
)
def test_blocks_end_work_before_their_wall_time(
    tmp_path: Path, walltime: str, seconds: int
) -> None:
    site = sites.load(sites.Choice("slurm", {"walltime": walltime}), tmp_path)
    for executor in site.parsl.executors:
        assert isinstance(executor, HighThroughputExecutor)
        assert executor.drain_period == seconds
        assert executor.provider.init_blocks == 0


def write(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(
        "from parslflow import sites\n"
        "def site(run_dir, queue: str, nodes: int = 1, share: float = 0.5, fast: bool = False):\n"
        "    print(queue, nodes, share, fast)\n"
        "    return sites.load(sites.Choice('local'), run_dir)\n" + text
    )
    return str(path)


def test_options_come_as_their_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write(tmp_path, "")
    sites.load(sites.Choice(mine, {"queue": "q", "nodes": "3", "fast": "yes"}), tmp_path)
    assert capsys.readouterr().out == "q 3 0.5 True\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give --site-option queue=…"),
        ({"queue": "q", "nods": "3"}, "no option 'nods': did you mean 'nodes'?"),
        ({"queue": "q", "x": "3"}, "no option 'x': it has queue, nodes, share, fast."),
        ({"queue": "q", "nodes": "two"}, "nodes=two is no whole number"),
        ({"queue": "q", "share": "half"}, "share=half is no number"),
        ({"queue": "q", "fast": "2"}, "fast=2 is no true or false"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        sites.load(sites.Choice(write(tmp_path, ""), options), tmp_path)
    assert words in str(raised.value)


def test_a_package_adds_a_site_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[parslflow.sites]\nours = my_cluster:site\n")
    (tmp_path / "my_cluster.py").write_text(Path(write(tmp_path, "")).read_text())
    monkeypatch.syspath_prepend(tmp_path)
    assert "ours" in sites.known()
    site = sites.load(sites.Choice("ours", {"queue": "q"}), tmp_path)
    assert site.launch[0] == "mpiexec"
    (folder / "entry_points.txt").write_text("[parslflow.sites]\nours = no_such_module:site\n")
    with pytest.raises(UsageError, match=r"site 'ours' \(no_such_module:site\) cannot be loaded"):
        sites.known()


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
        sites.load(sites.Choice(str(path)), tmp_path)
    assert str(path) in str(raised.value)


def test_an_unknown_site_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"choose from .*local"):
        sites.load(sites.Choice("locl"), tmp_path)


def test_samplers_without_workers_are_refused(tmp_path: Path) -> None:
    site = sites.load(sites.Choice("local"), tmp_path)
    sites.demand_samplers("local", site, 2)
    with pytest.raises(
        UsageError, match="--site local: the executor 'sampling' has 2 workers where 3"
    ):
        sites.demand_samplers("local", site, 3)
