"""One call for an answer: in the store and in the process, bit for bit the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from parslflow.learning.networks import NETWORKS
from parslflow.store.client import StoreClient

from .conftest import random_features
from .running import BAD_ARGUMENT
from .running import CONNECTION
from .running import INFERENCE
from .running import MISSING_KEY
from .running import OK
from .running import SERVER
from .running import WRONG_SHAPE
from .running import WRONG_TYPE
from .running import run

Program = Callable[..., Path]

ODD_MODELS = """
import sys, torch
from pathlib import Path
class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] * 1
class Short(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[1:, 0].to(torch.float32)
class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x
class Throws(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, torch.ones(7, 7, dtype=torch.float64)).to(torch.float32)
class Writes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2)[:, 0].to(torch.float32)
for model in (Double(), Short(), Pair(), Throws(), Writes()):
    torch.jit.script(model).save(Path(sys.argv[1]) / f"{type(model).__name__}.script.pt")
"""


@pytest.fixture(scope="module")
def odd_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that are not what the program expects."""
    folder = tmp_path_factory.mktemp("odd")
    source = folder / "models.py"
    source.write_text(ODD_MODELS)
    subprocess.run([sys.executable, "-W", "ignore", source, folder], check=True, timeout=60)
    (folder / "Garbage.script.pt").write_bytes(b"not TorchScript")
    return folder


class Ask:
    """Asks a model by the program `infer`, whose files lie in ``folder``."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder

    def __call__(
        self, address: str, model: str, features: np.ndarray, **environment: str
    ) -> tuple[list[tuple[int, str]], np.ndarray]:
        """Codes and messages of connecting, inference and a put; the answer."""
        given, got = self.folder / "features", self.folder / "answer"
        features.T.tofile(given)
        rows = str(len(features))
        lines = run(address, self.program, model, rows, given, got, **environment).splitlines()
        said = [line.partition(" ")[::2] for line in lines]
        return [(int(code), message) for code, message in said], np.fromfile(got, np.float32)


@pytest.fixture
def ask(program: Program, tmp_path: Path) -> Ask:
    return Ask(program("infer"), tmp_path)


def in_process(folder: Path, library: Path) -> dict[str, str]:
    return {
        "PARSLFLOW_INFERENCE": "in-process",
        "PARSLFLOW_MODELS": str(folder),
        "PARSLFLOW_LIBTORCH": str(library),
    }


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("rows", [1, 1200])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_store_the_process_and_python_answer_the_same_bits(
    store: StoreClient, ask: Ask, networks: Path, inference_library: Path, network: str, rows: int
) -> None:
    features = random_features(rows)
    script = networks / f"{network}.script.pt"
    store.set_model(network, script.read_bytes())
    said, by_store = ask(store.address, network, features)
    assert said == [(OK, "")] * 3
    assert set(store.connection.keys()) == {network.encode(), b"features"}  # the last put

    said, by_process = ask("", network, features, **in_process(networks, inference_library))
    assert said[:2] == [(OK, "")] * 2
    assert said[2][0] == CONNECTION
    assert "can only infer" in said[2][1]
    assert by_process.tobytes() == by_store.tobytes()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        by_python = torch.jit.load(str(script))(torch.from_numpy(features)).numpy()
    torch.set_num_threads(threads)
    assert by_python.tobytes() == by_store.tobytes()
    assert np.isfinite(by_store).all()
    assert len(np.unique(by_store)) > rows // 2


@pytest.mark.parametrize(
    ("model", "code", "cause"),
    [
        ("Double", WRONG_TYPE, "output 1 is of type DOUBLE, but the array of type FLOAT"),
        ("Short", WRONG_SHAPE, "output 1 has the shape (4), but the array has (5)"),
        ("Pair", SERVER, "2 tensors for 1"),
        ("Throws", SERVER, "5x4 and 7x7"),
        ("nobody", MISSING_KEY, "nobody"),
        (" ", BAD_ARGUMENT, "the name is empty"),
    ],
)
def test_mistakes_are_told_alike_in_the_store_and_in_the_process(
    store: StoreClient,
    ask: Ask,
    odd_models: Path,
    inference_library: Path,
    model: str,
    code: int,
    cause: str,
) -> None:
    script = odd_models / f"{model}.script.pt"
    if script.is_file():
        store.set_model(model, script.read_bytes())
    ways = (
        (store.address, {}, code),
        ("", in_process(odd_models, inference_library), INFERENCE if code == SERVER else code),
    )
    for address, environment, wanted in ways:
        said, answer = ask(address, model, random_features(5), **environment)
        assert said[1][0] == wanted, said
        assert cause in said[1][1]
        assert said[1][1].startswith(f"Cannot infer with model '{model.strip()}'")
        assert said[1][1].endswith(".")
        assert (answer == -1).all()
    assert not [key for key in store.connection.scan_iter() if key.startswith(b"parslflow.")]


def test_a_model_cannot_write_to_the_caller_s_array(
    store: StoreClient, ask: Ask, odd_models: Path, inference_library: Path
) -> None:
    """Also where the array is what torch reads, as with one row: each turn doubles it."""
    features = random_features(1)
    for address, environment in (
        (store.address, {}),
        ("", in_process(odd_models, inference_library)),
    ):
        store.set_model("Writes", (odd_models / "Writes.script.pt").read_bytes())
        said, answer = ask(address, "Writes", features, **environment)
        assert said[1] == (OK, "")
        assert answer[0] == np.float32(2 * features[0, 0])


@pytest.mark.parametrize(
    ("changes", "model", "step", "code", "cause"),
    [
        ({"PARSLFLOW_INFERENCE": "gpu"}, "Short", 0, BAD_ARGUMENT, "store or in-process"),
        ({"PARSLFLOW_MODELS": ""}, "Short", 0, BAD_ARGUMENT, "PARSLFLOW_MODELS"),
        ({"PARSLFLOW_LIBTORCH": ""}, "Short", 0, BAD_ARGUMENT, "PARSLFLOW_LIBTORCH"),
        ({"PARSLFLOW_LIBTORCH": "/none.so"}, "Short", 1, BAD_ARGUMENT, "/none.so"),
        ({"PARSLFLOW_LIBTORCH": "libc.so.6"}, "Short", 1, BAD_ARGUMENT, "not parslflow's"),
        ({}, "Garbage", 1, INFERENCE, "no TorchScript"),
        ({"PARSLFLOW_MODELS": "/nowhere"}, "Short", 1, MISSING_KEY, "/nowhere/Short.script.pt"),
    ],
)
def test_what_the_process_lacks_is_named(
    ask: Ask,
    odd_models: Path,
    inference_library: Path,
    changes: dict[str, str],
    model: str,
    step: int,
    code: int,
    cause: str,
) -> None:
    environment = in_process(odd_models, inference_library) | changes
    said, _ = ask("", model, random_features(5), **environment)
    assert said[step][0] == code, said
    assert cause in said[step][1]
    assert said[step][1].count("\n") == 0
