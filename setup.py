"""Builds the Cython kernels and the store's Redis module into ``parslflow._ext``."""

from __future__ import annotations

import os
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy
import torch
from Cython.Build import cythonize
from setuptools import Extension
from setuptools import setup
from setuptools.command.build_ext import build_ext
from torch.utils.cpp_extension import include_paths

KERNELS = [
    Extension(
        f"parslflow._ext.{source.stem}",
        [str(source)],
        include_dirs=["_ext", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=sorted(map(str, [*Path("_ext").glob("*.pxd"), *Path("_ext/kernels").glob("*.h")])),
        # Vectors are passed only where they are inlined, so their calling convention is moot.
        extra_compile_args=["-O3", "-fopenmp", "-Wall", "-Wno-psabi"],
        extra_link_args=["-fopenmp"],
    )
    for source in sorted(Path("_ext").glob("*.pyx"))
]

# libtorch is the one in the torch wheel, so the module finds it where Python does.
TORCH_LIBRARIES = Path(torch.__file__).parent / "lib"

STORE_MODULE = Extension(
    "parslflow._ext.tensorstore",
    sorted(str(source) for source in Path("_ext/tensorstore").glob("*.cpp")),
    depends=sorted(str(header) for header in Path("_ext/tensorstore").glob("*.h")),
    include_dirs=["_ext/tensorstore", *include_paths()],
    library_dirs=[str(TORCH_LIBRARIES)],
    libraries=["torch", "torch_cpu", "c10"],
    extra_compile_args=[
        "-std=c++20",
        "-O2",
        "-g0",  # Python's own flags ask for debug symbols, which double the build of torch headers
        "-Wall",
        "-fvisibility=hidden",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
    ],
    extra_link_args=[f"-Wl,-rpath,{TORCH_LIBRARIES}"],
    language="c++",
)


class BuildExtensions(build_ext):
    """Compiles the files of an extension at the same time, too: libtorch's headers take long."""

    def build_extensions(self) -> None:
        """Build all extensions."""
        compile_files = self.compiler.compile

        def compile_at_once(sources: list[str], **options: object) -> list[str]:
            with ThreadPool(os.cpu_count()) as pool:
                parts = pool.map(lambda source: compile_files([source], **options), sources)
            return [made for part in parts for made in part]

        self.compiler.compile = compile_at_once
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExtensions},
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=[
        *cythonize(
            KERNELS,
            build_dir="build/cython",
            include_path=["_ext"],
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
            },
        ),
        STORE_MODULE,
    ],
)
