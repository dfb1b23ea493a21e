"""Every method of what the stock Python client comes with: data sets, options, logs, xarray."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import smartredis
from smartredis.error import RedisKeyError
from smartredis.error import RedisReplyError
from smartredis.error import RedisRuntimeError

from tests.conformance import covering
from tests.conformance.conftest import Place
from tests.conformance.covering import covers

CLASSES = {
    kind.__name__: kind
    for kind in (
        smartredis.Dataset,
        smartredis.ConfigOptions,
        smartredis.LogContext,
        smartredis.SRObject,
        smartredis.DatasetConverter,
    )
}

LOGS = {"log_data", "log_warning", "log_error"}

LOGGING = """
import smartredis
from smartredis import LLInfo, LLDebug

smartredis.Client(logger_name="client")
contexts = [
    smartredis.SRObject("object"), smartredis.LogContext("context"), smartredis.Dataset("dataset"),
    smartredis.Client(logger_name="client"),
]
for context in contexts:
    for name in ("log_data", "log_warning", "log_error"):
        getattr(context, name)(LLInfo, f"{name} is heard")
        getattr(context, name)(LLDebug, f"{name} is not heard")
for name in ("log_data", "log_warning", "log_error"):
    getattr(smartredis, name)("module", LLInfo, f"{name} is heard")
"""


@pytest.fixture(autouse=True)
def _calls_what_it_covers(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    names = set(getattr(request.function, "covers", ()))
    recorders = {}
    for kind, cls in CLASSES.items():
        own = {name.partition(".")[2] for name in names if name.startswith(f"{kind}.")}
        recorders[kind] = covering.record(cls, own, monkeypatch)
    yield
    assert {f"{kind}.{name}" for kind, called in recorders.items() for name in called} == names


def test_every_method_has_a_test() -> None:
    methods = {
        f"{name}.{method}"
        for name, kind in CLASSES.items()
        for method in covering.public(kind) - LOGS
    }
    assert covering.covered(globals()) == methods
    # These stand in LOGGING, which runs in a process of its own.
    assert covering.public(smartredis) == LOGS


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"])
@covers(
    "Dataset.add_tensor", "Dataset.get_tensor", "Dataset.get_tensor_names",
    "Dataset.get_tensor_dims", "Dataset.get_tensor_type", "Dataset.get_name",
    "Dataset.get_data", "Dataset.from_pybind", "Dataset.set_data",
)  # fmt: skip
def test_tensors_of_data_sets(place: Place, dtype: str) -> None:
    client = smartredis.Client(logger_name="tests")
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    made = smartredis.Dataset("tile")
    made.add_tensor("whole", array)
    made.add_tensor("view", array.T[:, ::-1])
    client.put_dataset(made)
    for back in (made, client.get_dataset("tile"), smartredis.Dataset.from_pybind(made.get_data())):
        assert back.get_name() == "tile"
        assert sorted(back.get_tensor_names()) == ["view", "whole"]
        assert back.get_tensor_dims("whole") == [2, 3, 4]
        assert back.get_tensor_dims("view") == [4, 3, 2]
        if dtype == "u2":
            with pytest.raises(TypeError, match="UINT6"):  # it misspells its own type
                back.get_tensor_type("whole")
        else:  # it says double for float
            seen = np.dtype("f8" if dtype == "f4" else dtype)
            assert back.get_tensor_type("whole") == seen
        assert back.get_tensor("whole").dtype == dtype
        np.testing.assert_array_equal(back.get_tensor("whole"), array)
        np.testing.assert_array_equal(back.get_tensor("view"), array.T[:, ::-1])
    with pytest.raises(RedisReplyError):
        made.get_tensor("none")
    other = smartredis.Dataset("other")
    other.set_data(made.get_data())
    assert other.get_name() == "tile"


@covers(
    "Dataset.add_meta_scalar", "Dataset.add_meta_string", "Dataset.get_meta_scalars",
    "Dataset.get_meta_strings", "Dataset.get_metadata_field_names",
    "Dataset.get_metadata_field_type", "Dataset.get_tensor_names",
)  # fmt: skip
def test_metadata_of_data_sets(place: Place) -> None:
    client = smartredis.Client(logger_name="tests")
    kinds = [np.float64, np.float32, np.int32, np.int64, np.uint32, np.uint64]
    made = smartredis.Dataset("tile")
    for kind in kinds:
        for value in (1, 2, 3):
            made.add_meta_scalar(kind.__name__, kind(value))
    made.add_meta_scalar("python", 0.5)
    for text in ("one", "", "drei ü"):
        made.add_meta_string("texts", text)
    client.put_dataset(made)
    for back in (made, client.get_dataset("tile")):
        fields = {kind.__name__ for kind in kinds} | {"python", "texts"}
        assert set(back.get_metadata_field_names()) == fields
        for kind in kinds:
            assert list(back.get_meta_scalars(kind.__name__)) == [1, 2, 3]
            # It says double for float.
            seen = np.float64 if kind is np.float32 else kind
            assert back.get_metadata_field_type(kind.__name__) == seen
        assert back.get_meta_scalars("python") == [0.5]
        assert back.get_meta_strings("texts") == ["one", "", "drei ü"]
        assert back.get_metadata_field_type("texts") is str
        assert back.get_tensor_names() == []
        with pytest.raises(RedisReplyError):
            back.get_meta_scalars("texts")
        with pytest.raises(RedisReplyError):
            back.get_meta_strings("none")
    with pytest.raises(RedisReplyError):
        made.add_meta_scalar("texts", 1)
    with pytest.raises(TypeError, match="not a scalar"):
        made.add_meta_scalar("many", np.ones(2))


@covers(
    "ConfigOptions.create_from_environment", "ConfigOptions.get_integer_option",
    "ConfigOptions.get_string_option", "ConfigOptions.is_configured",
    "ConfigOptions.override_integer_option", "ConfigOptions.override_string_option",
    "ConfigOptions.get_data", "ConfigOptions.set_configoptions", "ConfigOptions.from_pybind",
)  # fmt: skip
def test_options(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # As SmartSim names the variables of a second database.
    for name in ("SSDB", "SR_DB_TYPE"):
        monkeypatch.setenv(f"{name}_second", place.environment()[name])
        monkeypatch.delenv(name)
    monkeypatch.setenv("SR_COUNT_second", "3")
    options = smartredis.ConfigOptions.create_from_environment("second")
    assert options.is_configured("SSDB")
    assert not options.is_configured("SR_NOTHING")
    assert options.get_string_option("SSDB") == place.environment()["SSDB"]
    assert options.get_integer_option("SR_COUNT") == 3
    options.override_integer_option("SR_COUNT", 4)
    options.override_string_option("SR_TEXT", "text")
    assert options.get_integer_option("SR_COUNT") == 4
    assert options.get_string_option("SR_TEXT") == "text"
    with pytest.raises(RedisKeyError):
        options.get_string_option("SR_NOTHING")
    copy = smartredis.ConfigOptions.from_pybind(options.get_data())
    for found in (options, copy):
        client = smartredis.Client(found, logger_name="tests")
        client.put_tensor("x", np.ones(2))
        assert client.tensor_exists("x")
    bare = smartredis.ConfigOptions()
    bare.set_configoptions(options.get_data())
    with pytest.raises(RedisRuntimeError, match="factory"):
        bare.get_integer_option("SR_COUNT")


@covers("LogContext.get_context", "LogContext.set_context", "LogContext.from_pybind")
def test_contexts_of_logs() -> None:
    context = smartredis.LogContext("context")
    inner = context.get_context()
    other = smartredis.LogContext("other")
    other.set_context(inner)
    assert other.get_context() is inner
    # It asks for a name that its own object does not have.
    with pytest.raises(AttributeError, match="_name"):
        smartredis.LogContext.from_pybind(inner)


def test_log_file(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    # Read once in the life of a process.
    monkeypatch.setenv("SR_LOG_FILE", str(log))
    monkeypatch.setenv("SR_LOG_LEVEL", "INFO")
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    for context in ("object", "context", "dataset", "client", "module"):
        for name in ("log_data", "log_warning", "log_error"):
            own = [line for line in lines if context in line and f"{name} is heard" in line]
            assert len(own) == 1, (context, name, lines)
    assert not [line for line in lines if "not heard" in line]


@covers("DatasetConverter.add_metadata_for_xarray", "DatasetConverter.transform_to_xarray")
def test_xarray(place: Place) -> None:
    client = smartredis.Client(logger_name="tests")
    made = smartredis.Dataset("tile")
    made.add_tensor("eke", np.arange(6.0).reshape(2, 3))
    made.add_tensor("x", np.arange(3.0))
    for name, text in (("dim_y", "y"), ("dim_x", "x"), ("unit", "m2 s-2")):
        made.add_meta_string(name, text)
    convert = smartredis.DatasetConverter
    convert.add_metadata_for_xarray(made, "eke", ["dim_y", "dim_x"], ["x"], ["unit"])
    convert.add_metadata_for_xarray(made, "x", ["dim_x"], None, ["unit"])
    client.put_dataset(made)
    found = convert.transform_to_xarray(client.get_dataset("tile"))
    assert list(found) == ["eke"]
    assert found["eke"].dims == ("y", "x")
    assert found["eke"].attrs == {"unit": "m2 s-2"}
    np.testing.assert_array_equal(found["eke"].values, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found["eke"].coords["x"].values, np.arange(3.0))


def test_text_of_clients(place: Place) -> None:
    text = str(smartredis.Client(logger_name="tests"))
    assert "tests" in text
    assert place.addresses[0].removeprefix("unix://") in text or place.clustered
