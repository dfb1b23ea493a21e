"""What the tests of the Fortran programs need: the built model and client, networks, mpiexec."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from .model import Simulate
from .model import Simulation
from .model import Value
from .model import as_namelist
from .running import LIMIT_S
from .running import PROGRAMS
from .running import link_flags
from .running import make

FORTRAN = Path(__file__).parents[2] / "fortran"

Launcher = Callable[[int, list[str], Path, Mapping[str, str]], tuple[int, str, str]]


@pytest.fixture(scope="session")
def phillips() -> Path:
    """The model, built."""
    subprocess.run(["make", "-C", str(FORTRAN)], check=True, timeout=100)
    return FORTRAN.parent / "build" / "fortran" / "phillips" / "phillips"


@pytest.fixture(scope="session")
def mpiexec() -> Launcher:
    """Runs a command on so many ranks: exit code, stdout and stderr."""

    def run(
        ranks: int, command: list[str], folder: Path, environment: Mapping[str, str]
    ) -> tuple[int, str, str]:
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        done = subprocess.run(
            ["mpiexec", "-q", "--oversubscribe", "-n", str(ranks), *command],
            cwd=folder,
            env={**os.environ, **allowed, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=2 * LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="session")
def launch(
    phillips: Path,
    mpiexec: Launcher,
    tmp_path_factory: pytest.TempPathFactory,
) -> Simulate:
    """Runs the model on a namelist's text, whatever comes of it."""

    def run(text: str, ranks: int = 1, **environment: str) -> Simulation:
        folder = tmp_path_factory.mktemp("phillips")
        (folder / "input.nml").write_text(text, encoding="utf-8")
        return Simulation(
            folder, *mpiexec(ranks, [str(phillips), "input.nml"], folder, environment)
        )

    return run


@pytest.fixture(scope="session")
def simulate(launch: Simulate) -> Simulate:
    """Runs a small case of the model to its end, with groups of the namelist as keywords."""
    small: dict[str, dict[str, Value]] = {
        "domain": {"nx": 24, "ny": 32, "dx": 5.0e4},
        "time": {"dt": 1800.0, "days": 1.0},
    }

    def run(
        ranks: int = 1, environment: Mapping[str, str] | None = None, **groups: dict[str, Value]
    ) -> Simulation:
        text = ""
        for group in {**small, **groups}:
            values = small.get(group, {}) | groups.get(group, {})
            pairs = ", ".join(f"{key} = {as_namelist(value)}" for key, value in values.items())
            text += f"&{group} {pairs} /\n"
        done = launch(text, ranks, **(environment or {}))
        assert done.code == 0, done.stderr
        assert done.stderr == ""
        return done

    return run


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library, built afresh."""
    folder = tmp_path_factory.mktemp("client")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def program(library: Path) -> Callable[..., Path]:
    """Builds a program of the folder `programs`, once."""
    built: dict[str, Path] = {}

    def build(name: str, compiler: str = "gfortran") -> Path:
        if name not in built:
            folder = library / name
            folder.mkdir()
            subprocess.run(
                [
                    *(compiler, "-O1", "-fcheck=bounds", "-Wall", "-Werror", "-std=f2018"),
                    *("-I", str(library), "-J", str(folder)),
                    *(str(PROGRAMS / "expectations.f90"), str(PROGRAMS / f"{name}.f90")),
                    *("-L", str(library), *link_flags(library)),
                    *("-o", str(folder / name)),
                ],
                check=True,
                timeout=LIMIT_S,
            )
            built[name] = folder / name
        return built[name]

    return build


@pytest.fixture(scope="session")
def cmf_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the library is installed, built afresh."""
    folder = tmp_path_factory.mktemp("cmf")
    where = [f"BUILD={folder}/build", f"PREFIX={folder}"]
    command = ["make", "-C", str(FORTRAN / "cmf"), *where, "install"]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def cmf_program(cmf_library: Path) -> Callable[[str], Path]:
    """Builds a program of the folder `programs`, once."""
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "parslflow_cmf"],
        env=os.environ | {"PKG_CONFIG_PATH": str(cmf_library / "lib" / "pkgconfig")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    def build(source: str) -> Path:
        program = cmf_library / source.replace(".", "-")
        if not program.exists():
            compiler = (
                ["gfortran", "-std=f2018", "-fcheck=all"]
                if source.endswith(".f90")
                else ["gcc", "-std=c11", "-D_DEFAULT_SOURCE", "-Wextra"]
            )
            compile_it = [*compiler, "-O1", "-Wall", "-Werror", PROGRAMS / source]
            subprocess.run([*compile_it, "-o", program, *flags], check=True, timeout=LIMIT_S)
        return program

    return build


@pytest.fixture(scope="session")
def inference_library(phillips: Path) -> Path:
    """What runs models in a process, built with the model."""
    return phillips.parents[1] / "client" / "libparslflow_inference.so"


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both networks as they are deployed, with random weights."""
    import torch

    from parslflow.learning.clusters import Clusters
    from parslflow.learning.deployment import Deployable
    from parslflow.learning.deployment import write_script
    from parslflow.learning.networks import NETWORKS

    folder = tmp_path_factory.mktemp("networks")
    clusters = Clusters(
        rv_offset=3e-6,
        mean=np.array([2.0, 0.0, 1e-3, 0.3]),
        std=np.array([1.0, 0.01, 1e-3, 0.1]),
        centres=np.zeros((2, 4)),
        withheld=0,
        mke=np.zeros((3, 4)),
        filter_scale=8e4,
        dx=1e4,
        wall_rows=1,
    )
    torch.manual_seed(3)
    features = torch.from_numpy(random_features(100))
    for name, network in NETWORKS.items():
        deployable = Deployable(clusters, network(0.0))
        write_script(folder / f"{name}.script.pt", deployable, features)
    return folder


def random_features(rows: int) -> np.ndarray:
    """(rows, 4), features with the magnitudes that simulations have."""
    random = np.random.default_rng(rows)
    return np.column_stack(
        [
            random.lognormal(2.0, 1.0, rows),
            random.normal(0, 0.01, rows),
            random.lognormal(-7.0, 0.5, rows),
            random.uniform(0.15, 0.4, rows),
        ]
    )
