"""Builds the stock Fortran client from its sources on PyPI, and programs against it and ours."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path

import smartredis

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
OURS = ROOT / "tests" / "fortran" / "programs"
LIMIT_S = 100

# Each uses those before it.
SOURCES = [
    "fortran_c_interop",
    "errors",
    "logcontext",
    "configoptions",
    "dataset",
    "client",
    "logger",
]
STRICT = ["-O1", "-fcheck=bounds", "-Wall", "-Werror", "-std=f2018"]


@dataclass(frozen=True)
class Library:
    """A client library to build programs against."""

    folder: Path
    """Its modules; programs go there too."""
    helpers: Path
    """A source that its programs use."""
    link: list[str]

    def program(self, source: Path, compiler: str = "gfortran") -> Path:
        """Build a program, unless it is built."""
        target = self.folder / source.stem
        if not target.exists():
            command = [
                *(compiler, *STRICT, "-I", str(self.folder), "-J", str(self.folder)),
                *(str(self.helpers), str(source), *self.link, "-o", str(target)),
            ]
            subprocess.run(command, check=True, timeout=LIMIT_S)
        return target


def build_stock(folder: Path) -> Library:
    """Build the stock client: its Fortran modules over the library that its wheel holds."""
    version = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-binary", "smartredis"),
            *("--dest", str(folder), "smartredis==0.6.1"),
        ],
        check=False, timeout=LIMIT_S, capture_output=True, text=True,
    )  # fmt: skip
    assert version.returncode == 0, version.stderr
    with tarfile.open(folder / "smartredis-0.6.1.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    root = folder / "smartredis-0.6.1"
    sources = [root / "src" / "fortran" / f"{name}.F90" for name in SOURCES]
    subprocess.run(
        [
            *("gfortran", "-O1", "-cpp", "-I", str(root / "src" / "fortran")),
            *("-I", str(root / "include"), "-J", str(folder), "-c", *map(str, sources)),
        ],
        check=True, timeout=LIMIT_S, cwd=folder,
    )  # fmt: skip
    [wheel] = Path(smartredis.__file__).parent.glob("smartredisPy*.so")
    python = sysconfig.get_config_var("LIBDIR")
    link = [
        *(str(folder / f"{name}.o") for name in SOURCES),
        *(str(wheel), f"-Wl,-rpath,{wheel.parent}", f"-L{python}", f"-Wl,-rpath,{python}"),
        *("-lpython3.11", "-lstdc++"),
    ]
    return Library(folder, PROGRAMS / "stock_expectations.f90", link)


def build_ours(folder: Path) -> Library:
    """Build our client."""
    subprocess.run(
        ["make", "-s", "-C", str(ROOT / "fortran" / "client"), f"BUILD={folder}"],
        check=True,
        timeout=LIMIT_S,
    )
    link = ["-L", str(folder), "-lparslflow_client", "-lhiredis"]
    return Library(folder, OURS / "expectations.f90", link)
