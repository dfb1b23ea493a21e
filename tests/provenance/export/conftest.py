"""A copy of the small logged run, and a validator of crates that is kept off the network."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator import services
from urllib3 import HTTPResponse

from parslflow.provenance import graph
from parslflow.provenance.graph import Graph

from ..conftest import LoggedRun

Check = Callable[[Path], list[str]]

EXPERIMENT = 'name = "small"\nseed = 7\n[training]\nnetworks = ["EKE-ResNet"]\nrate = 1e-3\n'
STAGE = '{"stage": "train", "inputs": {"weights": "/somewhere/a.pt", "settings": {"epochs": 300}}}'


@pytest.fixture(scope="session")
def small_run(logged_run: LoggedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export") / "small run"
    shutil.copytree(logged_run.root, root, symlinks=True)
    (root / "experiment.toml").write_text(EXPERIMENT)
    (root / "environment.json").write_text('{"python": "3.11.7"}')
    (root / "stages").mkdir()
    (root / "stages" / "train-EKE-ResNet-0.json").write_text(STAGE)
    return root


@pytest.fixture(scope="session")
def small_graph(small_run: Path) -> Graph:
    return graph.read(small_run)


class _Shipped(HTTPAdapter):
    """Answers with the context of RO-Crate 1.1 that the package rocrate ships."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        assert request.url == "https://w3id.org/ro/crate/1.1/context"
        body = (files("rocrate") / "data" / "ro-crate.jsonld").read_bytes()
        headers = {"Content-Type": "application/ld+json"}
        answer = HTTPResponse(BytesIO(body), headers, status=200, preload_content=False)
        return self.build_response(request, answer)


@pytest.fixture(scope="session")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """What roc-validator, which is kept off the network, finds wrong with a crate."""
    cache = tmp_path_factory.mktemp("contexts") / "cache"
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", _Shipped())
        session.get("https://w3id.org/ro/crate/1.1/context")

    def check(path: Path) -> list[str]:
        how = services.ValidationSettings(
            rocrate_uri=str(path),
            profile_identifier="provenance-run-crate-0.5",
            offline=True,
            cache_path=cache,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it uses what rdflib is about to drop
            result = services.validate(how)
        return [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]

    return check
