"""CMF's metadata, opened and read.

CMF keeps it in ML Metadata (MLMD), whose own client opens in a tenth of the second that cmflib
takes. The database is a SQLite file in the run directory, or a PostgreSQL server that keeps several
runs.
"""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parslflow.errors import ParslflowError
from parslflow.provenance import settings
from parslflow.provenance.mlmd import MetadataStore
from parslflow.provenance.mlmd import StatusError
from parslflow.provenance.mlmd import records as mlmd
from parslflow.provenance.progress import logged
from parslflow.provenance.progress import state_file
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.rundir import RunDir

_ATTEMPTS = 5


@dataclass(frozen=True)
class Records:
    """MLMD's records of one run, in the order in which CMF got them."""

    executions: list[Any]
    events: list[Any]
    artifacts: dict[int, Any]
    """By their ids."""


def read_records(run_root: Path) -> Records:
    """All that CMF has of a run, in a few requests: its own queries take seconds an artifact.

    Raises:
        ParslflowError: the run has no metadata, or its database cannot be reached.
    """
    run = RunDir(run_root)
    chosen = settings.of_run(run)
    store = open_metadata(run_root)
    try:
        if chosen.postgresql is None:
            # By type, since MLMD gives all of them in pages of a hundred.
            executions = [
                one
                for kind in store.get_execution_types()
                for one in store.get_executions_by_type(kind.name)
            ]
            artifacts = [
                one
                for kind in store.get_artifact_types()
                for one in store.get_artifacts_by_type(kind.name)
            ]
            events = store.get_events_by_execution_ids([one.id for one in executions])
        else:
            # The server has other runs, too.
            mine = [key for key in logged(run).values() if key is not None]
            executions = store.get_executions_by_id(mine)
            events = store.get_events_by_execution_ids([one.id for one in executions])
            artifacts = store.get_artifacts_by_id(sorted({one.artifact_id for one in events}))
    except StatusError as error:
        raise ParslflowError(f"{_place(run, chosen)} cannot be read: {error}.") from None
    executions.sort(key=lambda one: one.id)
    artifacts.sort(key=lambda one: one.id)
    return Records(executions, events, {one.id: one for one in artifacts})


def open_metadata(run_root: Path) -> MetadataStore:
    """The metadata of a run, or of all runs on its server, for reading.

    Raises:
        ParslflowError: the run has none, or its database cannot be reached.
    """
    run = RunDir(run_root)
    chosen = settings.of_run(run)
    database = run.provenance / "mlmd"
    if not (database.is_file() or (chosen.postgresql is not None and state_file(run).is_file())):
        missing = database if chosen.postgresql is None else state_file(run)
        raise ParslflowError(
            f"{run_root} has no metadata ({missing} is missing): did its writer ever start? See "
            f"{run_root}/logs/writer.log."
        )
    return connect(run, chosen)


def connect(run: RunDir, chosen: ProvenanceSettings) -> MetadataStore:
    """The database that the settings name; it is made if it is not there yet.

    Raises:
        ParslflowError: it cannot be reached.
    """
    connection = mlmd.ConnectionConfig()
    if chosen.postgresql is None:
        connection.sqlite.filename_uri = str(run.provenance / "mlmd")
    else:
        place, _, name = chosen.postgresql.rpartition("/")
        host, _, port = place.rpartition(":")
        server = connection.postgresql
        server.host, server.port, server.dbname = host, port, name
        server.user = chosen.user or getpass.getuser()
        server.password = chosen.password or ""
    for _ in range(_ATTEMPTS):
        try:
            return MetadataStore(connection)
        except (StatusError, RuntimeError) as error:
            said = str(error).strip().rstrip(".").replace("\n", " ")
            # Another run's writer makes the same database.
            if not any(sign in said for sign in ("already exists", "retry the connection")):
                break
            time.sleep(1)
    cure = (
        "is the disk full, or the file damaged?"
        if chosen.postgresql is None
        else "does the server run, and may this user enter and make the database?"
    )
    raise ParslflowError(f"{_place(run, chosen)} cannot be opened ({said}): {cure}")


def _place(run: RunDir, chosen: ProvenanceSettings) -> str:
    if chosen.postgresql is None:
        return f"The metadata {run.provenance / 'mlmd'}"
    return f"The metadata on PostgreSQL {chosen.postgresql}"
