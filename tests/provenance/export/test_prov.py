from __future__ import annotations

import json
import tempfile
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import settings
from prov.model import ProvDocument

from parslflow.provenance.export import prov
from parslflow.provenance.graph import Graph

from .graphs import content
from .graphs import graphs

pytestmark = pytest.mark.timeout(300)

SCHEMA = json.loads((files("prov") / "tests" / "schemas" / "prov-json.schema.json").read_text())


def check(path: Path) -> None:
    jsonschema.validators.validator_for(SCHEMA)(SCHEMA).validate(json.loads(path.read_text()))


def test_a_run_is_read_back_whole(small_graph: Graph, small_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "prov.json"
    prov.write(small_graph, small_run, path)
    check(path)
    assert content(prov.read(path)) == content(small_graph)
    assert len(content(small_graph)["edges"]) >= 12


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_any_graph_is_read_back(graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prov.json")
        prov.write(graph, Path(folder), path)
        check(path)
        assert content(prov.read(path)) == content(graph)


def test_others_find_who_did_what(small_graph: Graph, small_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "prov.json"
    prov.write(small_graph, small_run, path)
    text = ProvDocument.deserialize(path, format="json").get_provn()
    assert "prefix run <urn:parslflow:run:small%20run:>" in text
    training = next(one for one in small_graph.executions.values() if one.context == "train")
    (data,) = small_graph.before[training.id]
    for model in small_graph.after[training.id]:
        assert f"wasDerivedFrom(run:{model}, run:{data}, run:{training.id}, -, -)" in text
        assert f"wasGeneratedBy(run:{model}, run:{training.id}, -)" in text
    assert f"used(run:{training.id}, run:{data}, -)" in text
    assert f"wasAssociatedWith(run:{training.id}, parslflow:parslflow, run:experiment)" in text
    assert "actedOnBehalfOf(parslflow:parslflow, run:owner, -)" in text
    assert 'metric:validation_loss="NaN" %% xsd:double' in text
