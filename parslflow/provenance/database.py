"""CMF's metadata, opened for reading.

CMF keeps it in ML Metadata (MLMD), whose own client opens in a tenth of the second that cmflib
takes.
"""

from __future__ import annotations

from pathlib import Path

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig  # type: ignore[attr-defined]

from parslflow.errors import ParslflowError
from parslflow.rundir import RunDir


def open_metadata(run_root: Path) -> MetadataStore:
    """The metadata of a run.

    Raises:
        ParslflowError: the run has none.
    """
    database = RunDir(run_root).provenance / "mlmd"
    if not database.is_file():
        raise ParslflowError(
            f"{run_root} has no metadata ({database} is missing): did its writer ever start? See "
            f"{run_root}/logs/writer.log."
        )
    connection = ConnectionConfig()
    connection.sqlite.filename_uri = str(database)
    return MetadataStore(connection)
