"""A batch is what NumPy, gcm-filters and scikit-learn keep of what the ranks sent."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import gcm_filters
import numpy as np
import pytest
import xarray
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.records import Record
from parslflow.records import Value
from parslflow.sampling.features import FIELDS
from parslflow.sampling.kept import kept_stamps
from parslflow.sampling.sampler import SampleInputs
from parslflow.sampling.sampler import sample
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.stream import Stream
from parslflow.store.wire import Dataset
from tests.conftest import present

Field = NDArray[np.float64]

NY, NX = 30, 22
DX, FILTER_SCALE = 2e4, 8e4
WALL_ROWS = 3
HALO = 2
I_CUTS = (0, 9, 10, 22)
J_CUTS = (0, 13, 30)
RANKS = 6
DAYS = 5


def fields_of_day(day: int) -> dict[str, Field]:
    """Fields of the magnitudes of a two-layer channel."""
    draw = np.random.default_rng(day)
    return {
        "KE_vert_sum": 50 * np.exp(draw.normal(size=(NY, NX))),
        "RV_vert_avg": 0.02 * draw.normal(size=(NY, NX)),
        "slope_vert_avg": 1e-3 * np.exp(draw.normal(size=(NY, NX))),
        "Rd_dx": 1.0 + 0.2 * draw.normal(size=(NY, NX)),
    }


def smoothed(field: Field) -> Field:
    """gcm-filters with a row of land beyond the walls."""
    mask = np.ones((NY + 1, NX))
    mask[-1] = 0
    reference = gcm_filters.Filter(
        filter_scale=FILTER_SCALE,
        dx_min=DX,
        filter_shape=gcm_filters.FilterShape.GAUSSIAN,
        grid_type=gcm_filters.GridType.REGULAR_WITH_LAND,
        grid_vars={"wet_mask": xarray.DataArray(mask, dims=("y", "x"))},
    )
    extended = np.vstack([field, np.full((1, NX), np.nan)])
    filtered = reference.apply(xarray.DataArray(extended, dims=("y", "x")), dims=["y", "x"])
    return np.asarray(filtered.values)[:-1]


def features_of_day(day: int) -> Field:
    fields = fields_of_day(day)
    columns = [smoothed(fields[name]) for name in FIELDS[:3]]
    return np.stack([*columns, fields["Rd_dx"] * DX / FILTER_SCALE], axis=-1)


def compress(features: Field, offset: float) -> Field:
    energy, vorticity, slope, radius = np.moveaxis(features, -1, 0)
    symmetric = np.sign(vorticity) * np.log1p(np.abs(vorticity) + offset)
    return np.stack([np.log1p(energy), symmetric, np.log1p(slope), radius], axis=-1)


@dataclass
class Base:
    """The base data's clusters, as a file and as scikit-learn's model."""

    path: Path
    clusters: Clusters
    model: KMeans


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    offset = 1e-5
    days = np.stack([features_of_day(day) for day in range(100, 104)])
    points = compress(days.reshape(-1, 4), offset)
    mean, std = points.mean(axis=0), points.std(axis=0)
    model = KMeans(4, n_init=1, random_state=0).fit((points - mean) / std)
    clusters = Clusters(
        rv_offset=offset,
        mean=mean,
        std=std,
        centres=model.cluster_centers_,
        withheld=2,
        mke=days[..., 0].mean(axis=0),
        filter_scale=FILTER_SCALE,
        dx=DX,
        wall_rows=WALL_ROWS,
    )
    path = tmp_path_factory.mktemp("base") / "clusters.h5"
    clusters.save(path)
    return Base(path, clusters, model)


def tile(run: str, rank: int, day: int) -> Dataset:
    """What a rank sends: fields [i, j] with halo, periodic in x, NaN beyond the walls."""
    row, column = divmod(rank, len(I_CUTS) - 1)
    i0, i1 = I_CUTS[column : column + 2]
    j0, j1 = J_CUTS[row : row + 2]
    tensors = {}
    for name, field in fields_of_day(day).items():
        padded = np.pad(field, ((HALO, HALO), (0, 0)), constant_values=np.nan)
        padded = np.pad(padded, ((0, 0), (HALO, HALO)), mode="wrap")
        tensors[name] = padded[j0 : j1 + 2 * HALO, i0 : i1 + 2 * HALO].T
    integers = {
        "rank": rank,
        "ranks": RANKS,
        "idg_offset": i0 - HALO,
        "jdg_offset": j0 - HALO,
        "isc": HALO + 1,
        "iec": HALO + i1 - i0,
        "jsc": HALO + 1,
        "jec": HALO + j1 - j0,
        "ieg": NX,
        "jeg": NY,
    }
    metadata: dict[str, object] = {key: np.int32(value) for key, value in integers.items()}
    metadata |= {"day": float(day), "run": run}
    return Dataset(f"{run}_{day:07d}.00000_{rank:06d}", tensors, metadata)


def end(run: str, times: int) -> Dataset:
    return Dataset(f"{run}_end", {}, {"times": np.int32(times), "status": np.int32(0), "run": run})


def simulate(server: StoreServer, run: str) -> threading.Thread:
    """All ranks at once, each with a connection, its days in random order, some twice."""

    def send(rank: int) -> None:
        draw = random.Random(rank)
        days = draw.sample(range(DAYS), DAYS) + draw.sample(range(DAYS), 2)
        with server.client() as client:
            for day in days:
                client.put_dataset(tile(run, rank, day), list="tiles")

    def ranks() -> None:
        threads = [threading.Thread(target=send, args=(rank,)) for rank in range(RANKS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with server.client() as client:
            client.put_dataset(end(run, DAYS), list="tiles")

    simulation = threading.Thread(target=ranks)
    simulation.start()
    return simulation


def inputs(server: StoreServer, base: Base, folder: Path) -> SampleInputs:
    Stream(list="tiles", run="high-1").save(folder / "stream.json")
    return SampleInputs(
        address_file=server.address_file,
        stream=folder / "stream.json",
        clusters=base.path,
        outputs=(folder / "batch.h5",),
        time_limit_s=20.0,
    )


def silent(series: str, /, **values: Value) -> None:
    """Nobody listens."""


@pytest.mark.usefixtures("store")
def test_a_batch_is_what_the_reference_keeps(
    store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    rows: list[dict[str, Value]] = []

    def report(series: str, /, **values: Value) -> None:
        assert series == "time"
        rows.append(values)

    simulation = simulate(store_server, "high-1")
    stage = inputs(store_server, base, tmp_path)
    record = sample(stage, report)
    simulation.join()
    batch = read_samples(stage.output)

    clusters = base.clusters
    expected_features, expected_eke, expected_origin = [], [], []
    seen = 0
    for day in range(DAYS):
        features = features_of_day(day)
        eke = np.maximum(fields_of_day(day)["KE_vert_sum"] - clusters.mke, 0)
        points = (compress(features, clusters.rv_offset) - clusters.mean) / clusters.std
        nearest = base.model.predict(points.reshape(-1, 4)).reshape(NY, NX)
        valid = np.log1p(eke) > 0
        valid[:WALL_ROWS] = valid[-WALL_ROWS:] = False
        seen += int(valid.sum())
        keep = valid & (nearest == clusters.withheld)
        expected_features.append(features[keep])
        expected_eke.append(eke[keep])
        expected_origin += [(day, j, i) for j, i in np.argwhere(keep)]

    origin = np.column_stack([batch.day, batch.j, batch.i])
    np.testing.assert_array_equal(origin, expected_origin)
    np.testing.assert_allclose(batch.features, np.concatenate(expected_features), rtol=1e-11)
    np.testing.assert_array_equal(batch.eke, np.concatenate(expected_eke))
    assert (batch.cluster == clusters.withheld).all()
    assert batch.runs == ("high-1",)
    assert (batch.run == 0).all()

    kept = len(batch)
    assert 0 < kept < seen
    attributes = {
        "clusters": clusters.id,
        "run": "high-1",
        "times": DAYS,
        "filter_scale": FILTER_SCALE,
    }
    assert read_attributes(stage.output).items() >= attributes.items()
    assert record.metrics == {"times": DAYS, "seen": seen, "kept": kept, "rejected": 0}
    assert [artifact.path for artifact in record.read] == [stage.stream, base.path]
    assert [artifact.path for artifact in record.wrote] == [stage.output]
    assert sorted(row["day"] for row in rows) == list(range(DAYS))
    assert rows[-1]["kept"] == kept


def sampled(store: StoreClient, stage: SampleInputs, *datasets: Dataset) -> Record:
    for dataset in datasets:
        store.put_dataset(dataset, list="tiles")
    return sample(stage, silent)


def test_nothing_is_left_in_the_store(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, day) for day in range(2) for rank in range(RANKS)]
    sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 2))
    assert present(store) == []


def test_a_batch_can_be_empty(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS)]
    for dataset in tiles:
        dataset.tensors["KE_vert_sum"] = np.zeros_like(dataset.tensors["KE_vert_sum"])
    stage = inputs(store_server, base, tmp_path)
    record = sampled(store, stage, *tiles, end("high-1", 1))
    assert record.metrics == {"times": 1, "seen": 0, "kept": 0, "rejected": 0}
    assert len(read_samples(stage.output)) == 0


def test_an_incomplete_time_leaves_no_batch(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    stage = inputs(store_server, base, tmp_path)
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS) if rank != 4]
    with pytest.raises(ParslflowError, match=r"no tile came from rank 4\."):
        sampled(store, stage, *tiles, end("high-1", 1))
    assert not stage.output.exists()


def test_a_dead_simulation_leaves_no_batch(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    stage = inputs(store_server, base, tmp_path)
    died = Dataset("high-1_end", metadata={"times": [0], "status": [1]})

    def die(series: str, /, **values: Value) -> None:
        store.put_dataset(died, list="tiles")

    for rank in range(RANKS):
        store.put_dataset(tile("high-1", rank, 1), list="tiles")
    with pytest.raises(ParslflowError, match="died while it was sampled"):
        sample(stage, die)
    assert not stage.output.exists()


def test_a_sampler_that_fails_goes_on_with_what_it_kept(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, day) for day in range(4) for rank in range(RANKS)]
    whole = inputs(store_server, base, tmp_path)
    record = sampled(store, whole, *tiles, end("high-1", 4))
    expected = read_samples(whole.output)

    stage = whole.model_copy(update={"outputs": (tmp_path / "again.h5",)})
    broken = tile("high-1", 2, 2)
    broken.metadata = broken.metadata | {"isc": 2.5}
    others = [one for one in tiles if one.name != broken.name]
    with pytest.raises(ParslflowError, match="send a whole number"):
        sampled(store, stage, *others, broken)
    assert kept_stamps(stage.output, "") == {"0000000.00000", "0000001.00000"}
    assert kept_stamps(stage.output, "another simulation") == set()

    days: list[Value] = []

    def report(series: str, /, **values: Value) -> None:
        days.append(values["day"])

    for one in (tile("high-1", 2, 2), end("high-1", 4)):
        store.put_dataset(one, list="tiles")
    again = sample(stage, report)
    assert days == [2.0, 3.0]
    assert again.metrics == record.metrics
    assert stage.output.read_bytes() == whole.output.read_bytes()
    np.testing.assert_array_equal(read_samples(stage.output).features, expected.features)
    assert present(store) == []
    # The simulation may run once more when all is sampled, but sends nothing that is new.
    assert sample(stage, report).metrics == record.metrics
    assert days == [2.0, 3.0]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_time_that_is_not_finite_is_rejected_alone(
    store: StoreClient,
    store_server: StoreServer,
    base: Base,
    tmp_path: Path,
    field: str,
    value: float,
) -> None:
    tiles = [tile("high-1", rank, day) for day in range(3) for rank in range(RANKS)]
    whole = inputs(store_server, base, tmp_path)
    sampled(store, whole, *tiles, end("high-1", 3))
    expected = read_samples(whole.output)

    spoiled = tiles[RANKS + 2]  # of day 1
    assert not np.isnan(spoiled.tensors[field][HALO, HALO])
    spoiled.tensors[field] = spoiled.tensors[field].copy()
    spoiled.tensors[field][HALO, HALO] = value
    stage = whole.model_copy(update={"outputs": (tmp_path / "again.h5",)})
    rejected: list[dict[str, Value]] = []

    def report(series: str, /, **values: Value) -> None:
        if series == "rejected":
            rejected.append(values)

    for one in (*tiles, end("high-1", 3)):
        store.put_dataset(one, list="tiles")
    record = sample(stage, report)
    assert (record.metrics["times"], record.metrics["rejected"]) == (3, 1)
    assert rejected == [{"day": 1.0, "flaw": f"{field} is {value:g} at j = 0, i = {I_CUTS[2]}"}]
    batch = read_samples(stage.output)
    others = expected.day != 1
    assert 0 < len(batch) == others.sum()
    np.testing.assert_array_equal(batch.features, expected.features[others])
    assert read_attributes(stage.output)["rejected"] == 1
    assert present(store) == []
    # Who comes later knows it, too.
    assert sample(stage, report).metrics == record.metrics


def test_of_a_run_whose_times_are_all_rejected_the_batch_is_empty(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, day) for day in range(2) for rank in range(RANKS)]
    for dataset in tiles:
        dataset.tensors["Rd_dx"] = np.full_like(dataset.tensors["Rd_dx"], np.nan)
    stage = inputs(store_server, base, tmp_path)
    record = sampled(store, stage, *tiles, end("high-1", 2))
    assert record.metrics == {"times": 2, "seen": 0, "kept": 0, "rejected": 2}
    assert len(read_samples(stage.output)) == 0


def test_a_run_without_a_time_is_an_error(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    with pytest.raises(ParslflowError, match="'high-1' ended without sending any time"):
        sampled(store, inputs(store_server, base, tmp_path), end("high-1", 0))


def test_tiles_that_overlap_are_named(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS)]
    tiles[2].metadata = tiles[2].metadata | {"idg_offset": np.int32(I_CUTS[2] - HALO - 1)}
    with pytest.raises(ParslflowError, match="The tiles of ranks 1 and 2 overlap"):
        sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 1))


def test_a_field_of_another_shape_is_named(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS)]
    tiles[3].tensors["Rd_dx"] = np.ascontiguousarray(tiles[3].tensors["Rd_dx"].T)
    message = r"'high-1_0000001.00000_000003' has 'Rd_dx' of another shape: send all fields"
    with pytest.raises(ParslflowError, match=message):
        sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 1))


def test_clusters_of_another_grid_are_refused(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS)]
    for dataset in tiles:
        dataset.metadata = dataset.metadata | {"jeg": np.int32(60)}
    message = r"clusters\.h5: the base data are of 22 by 30 cells, but the run sends 22 by 60"
    with pytest.raises(UsageError, match=message):
        sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 1))


def test_single_precision_is_taken(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    stage = inputs(store_server, base, tmp_path)
    batches = []
    for kind in (np.float32, np.float64):
        tiles = [tile("high-1", rank, day) for day in range(2) for rank in range(RANKS)]
        for dataset in tiles:
            for name, field in dataset.tensors.items():
                dataset.tensors[name] = field.astype(np.float32).astype(kind)
        sampled(store, stage, *tiles, end("high-1", 2))
        batches.append(read_samples(stage.output))
    single, double = batches
    assert len(single) > 0
    np.testing.assert_array_equal(single.features, double.features)
    np.testing.assert_array_equal(single.eke, double.eke)


def test_land_needs_no_rank(
    store: StoreClient, store_server: StoreServer, base: Base, tmp_path: Path
) -> None:
    # Rank 1, a single column of cells, is masked out; the others are numbered anew.
    mke = base.clusters.mke.copy()
    mke[J_CUTS[0] : J_CUTS[1], I_CUTS[1] : I_CUTS[2]] = np.nan
    path = tmp_path / "clusters.h5"
    replace(base.clusters, mke=mke).save(path)
    tiles = []
    for number, rank in enumerate(rank for rank in range(RANKS) if rank != 1):
        dataset = tile("high-1", rank, 1)
        dataset.name = f"high-1_0000001.00000_{number:06d}"
        numbers = {"rank": np.int32(number), "ranks": np.int32(RANKS - 1)}
        dataset.metadata = dataset.metadata | numbers
        tiles.append(dataset)
    stage = inputs(store_server, base, tmp_path).model_copy(update={"clusters": path})
    sampled(store, stage, *tiles, end("high-1", 1))
    batch = read_samples(stage.output)
    assert len(batch) > 0
    assert not np.isnan(mke[batch.j, batch.i]).any()

    with pytest.raises(ParslflowError, match="13 cells lie in no tile"):
        sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"isc": 2.5}, r"000003' has the metadata 'isc' = 2.5: send a whole number"),
        ({"iec": 1e12}, r"000003' has the metadata 'iec' = 1e\+12: send a whole number"),
        ({"ranks": 7}, "000003' says that there are 7 ranks, but the first one said 6"),
        ({"day": "one"}, "000003' has no metadata 'day': send one number"),
    ],
)
def test_metadata_that_are_wrong_are_named(
    store: StoreClient,
    store_server: StoreServer,
    base: Base,
    tmp_path: Path,
    change: dict[str, object],
    message: str,
) -> None:
    tiles = [tile("high-1", rank, 1) for rank in range(RANKS)]
    tiles[3].metadata = tiles[3].metadata | change
    with pytest.raises(ParslflowError, match=message):
        sampled(store, inputs(store_server, base, tmp_path), *tiles, end("high-1", 1))
