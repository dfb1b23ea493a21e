"""ML Metadata's client and records, which have no types, from its library told to be quiet."""

from __future__ import annotations

import os
from typing import Any

# Read when the library is loaded; else it tells of every connection to PostgreSQL.
os.environ.setdefault("GLOG_minloglevel", "3")

from ml_metadata.errors import AbortedError
from ml_metadata.errors import AlreadyExistsError
from ml_metadata.errors import NotFoundError
from ml_metadata.errors import StatusError
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

records: Any = metadata_store_pb2

EXACT = "parslflow_exact"
"""The property that has, as JSON, the floats that MLMD would round."""

__all__ = [
    "EXACT",
    "AbortedError",
    "AlreadyExistsError",
    "MetadataStore",
    "NotFoundError",
    "StatusError",
    "records",
]
