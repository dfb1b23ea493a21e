"""The metadata in PostgreSQL, which keeps several runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import queries
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import read
from parslflow.provenance.writer import Writer

from .conftest import write_small_run
from .services import Postgresql

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def runs(postgresql_server: Postgresql, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of one pipeline in one database, whose files have the same contents."""
    folder = tmp_path_factory.mktemp("runs")
    roots = [folder / "one", folder / "two"]
    for root in roots:
        write_small_run(root, outside=folder / "topography.nc")
        settings = postgresql_server.settings("runs", folder / "password")
        (root / "experiment.toml").write_text(settings)
    # At once: whichever comes second finds what the other made.
    with Writer(roots[0]), Writer(roots[1]):
        pass
    return roots


def shape(graph: Graph) -> tuple[object, ...]:
    """A graph without the ids and times of its run."""
    names = {key: one.name for key, one in graph.executions.items()}
    names |= {key: Path(one.path).name for key, one in graph.artifacts.items()}
    return (
        [
            (one.name, one.context, one.status, str(one.metrics))
            for one in graph.executions.values()
        ],
        sorted((Path(one.path).name, one.kind, one.sha256) for one in graph.artifacts.values()),
        sorted((names[key], names[one]) for key in names for one in graph.after[key]),
    )


def test_each_run_reads_what_is_its_own(runs: list[Path], tmp_path: Path) -> None:
    in_file = tmp_path / "in-file"
    write_small_run(in_file, outside=tmp_path / "topography.nc")
    with Writer(in_file):
        pass
    for root in runs:
        assert shape(read(root)) == shape(read(in_file))
        assert queries.test_losses(root) == {"EKE-ResNet-0": 0.75, "EKE-Bottleneck-0": 0.5}
        assert queries.lineage(root).edges


def test_each_run_keeps_its_versions(runs: list[Path]) -> None:
    for root in runs:
        assert len(list((root / "provenance/cmf/models").glob("*.dvc"))) == 4
        assert not (root / "provenance" / "cmf" / "mlmd").exists()


def test_cmf_reads_both(runs: list[Path], postgresql_server: Postgresql) -> None:
    code = """
from cmflib.cmfquery import CmfQuery
query = CmfQuery(is_server=True)
print(len(query.get_all_executions_in_pipeline("small")), len(query.store.get_artifacts()))
(name,) = [name for name in query.get_all_artifacts() if "ResNet-0.script" in name]
print(query.get_artifact(name)["url"][0].count("small:"))
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=postgresql_server.environment("runs"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    # 7 files, and of each run 2 series, 2 results and a decision; each file at two places.
    assert said == ["14", "17", "2"]


def test_a_password_that_others_can_read_is_refused(
    postgresql_server: Postgresql, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    (tmp_path / "experiment.toml").write_text(postgresql_server.settings("new", password))
    password.chmod(0o644)
    (tmp_path / "journal").mkdir()
    refused = pytest.raises(ParslflowError, match=r"password can be read by others: chmod 600")
    with refused, Writer(tmp_path):
        pass
    (tmp_path / "provenance" / "state.json").write_text('{"executions": {}}')
    with pytest.raises(UsageError, match=r"password can be read by others: chmod 600"):
        read(tmp_path)


def test_a_server_that_does_not_answer_is_named(
    postgresql_server: Postgresql, tmp_path: Path
) -> None:
    settings = postgresql_server.settings("new", tmp_path / "password")
    (tmp_path / "experiment.toml").write_text(settings.replace(":5432/", ":5433/"))
    (tmp_path / "journal").mkdir()
    refused = pytest.raises(ParslflowError, match=r"PostgreSQL .*:5433/new cannot be opened .*run")
    with refused, Writer(tmp_path):
        pass
