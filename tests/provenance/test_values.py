from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies

from parslflow.provenance import graph
from parslflow.provenance import values
from parslflow.provenance.events import Value
from parslflow.provenance.mlmd import MetadataStore
from parslflow.provenance.mlmd import records


class Database:
    """A real MLMD that keeps one artifact's properties."""

    def __init__(self, path: str) -> None:
        connection = records.ConnectionConfig()
        connection.sqlite.filename_uri = path
        self._store = MetadataStore(connection)
        self._type = self._store.put_artifact_type(records.ArtifactType(name="Any"))

    def keep(self, *parts: dict[str, Value]) -> dict[str, Value]:
        """Put one part after the other into an artifact; what it then has."""
        artifact = records.Artifact(type_id=self._type)
        for part in parts:
            values.put(artifact.custom_properties, part)
        (key,) = self._store.put_artifacts([artifact])
        (stored,) = self._store.get_artifacts_by_id([key])
        return graph.to_values(stored.custom_properties)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return Database(str(tmp_path_factory.mktemp("mlmd") / "mlmd"))


names = strategies.text("abcdefg_", min_size=1, max_size=8)
anything = strategies.one_of(
    strategies.integers(-(2**63), 2**63 - 1),
    strategies.floats(allow_nan=False, allow_infinity=False),
    strategies.text("abc 1.5", max_size=5),
)


@given(strategies.dictionaries(names, anything))
def test_cmf_gives_back_what_it_got(database: Database, found: dict[str, Value]) -> None:
    kept = database.keep(found)
    assert kept == found
    assert [type(kept[key]) for key in found] == [type(value) for value in found.values()]


def test_small_numbers_and_all_digits_are_kept(database: Database) -> None:
    found: dict[str, Value] = {"mass_error": 5.82e-16, "loss": 0.6244871234567, "half": 0.5}
    assert database.keep(found) == found


def test_a_later_value_replaces_the_former(database: Database) -> None:
    assert database.keep({"a": 1e-9, "b": 1e-9}, {"a": 0.5}) == {"a": 0.5, "b": 1e-9}
    assert database.keep({"a": 1e-9}, {"a": "text"}) == {"a": "text"}


def test_what_is_no_number_to_mlmd_is_one_again(database: Database) -> None:
    kept = database.keep({"nan": math.nan, "inf": math.inf, "large": 2**70})
    assert math.isnan(float(kept["nan"]))
    assert kept["inf"] == math.inf
    assert kept["large"] == str(2**70)
