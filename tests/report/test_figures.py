from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from matplotlib import image

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.deployment import Deployable
from parslflow.learning.deployment import write_script
from parslflow.learning.networks import NETWORKS
from parslflow.provenance import events
from parslflow.records import Value
from parslflow.report.comparison import ZonalRow
from parslflow.report.daily import Daily
from parslflow.report.figures import DPI
from parslflow.report.figures import DrawInputs
from parslflow.report.figures import colour_limit
from parslflow.report.figures import draw
from parslflow.report.figures import losses_figure
from parslflow.report.figures import vorticity_figure
from parslflow.report.figures import zonal_mean_figure
from parslflow.report.losses import LossHistory
from parslflow.report.zonal import Profile
from parslflow.sampling.features import smooth

SCALE = 80e3


def waves(days: int, nx: int, ny: int, spacing: float) -> Daily:
    x, y = (np.arange(n) * spacing + spacing / 2 for n in (nx, ny))
    phase = np.arange(days)[:, None, None] / 3
    values = np.sin(4 * np.pi * x / x[-1] + phase) * np.sin(np.pi * y / y[-1])[:, None]
    return Daily(values, np.arange(days) + 101.0, x, y)


def write(path: Path, grid: Daily, **fields: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["time"], file["xh"], file["yh"] = grid.time, grid.x, grid.y
        for name, values in fields.items():
            file[name] = values
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> DrawInputs:
    journal = tmp_path / "journal"
    journal.mkdir()
    for network in ("EKE-ResNet", "EKE-Bottleneck"):
        for iteration in range(2):
            with events.execution(
                journal,
                pipeline="demo",
                context="train",
                name=f"train-{network}-{iteration}",
                properties={"network": network, "iteration": iteration},
            ) as run:
                for epoch in range(1, 6):
                    loss = 1.0 / epoch
                    row = {"epoch": epoch, "train_loss": loss, "validation_loss": loss + 0.1}
                    run.metric("epoch", row)
                run.result({"test_loss": 1.5 - iteration})
    high, low = waves(3, 48, 64, 25e3), waves(12, 24, 32, 50e3)
    clusters = Clusters(
        rv_offset=1e-6,
        mean=np.zeros(4),
        std=np.ones(4),
        centres=np.zeros((6, 4)),
        withheld=0,
        mke=np.full((64, 48), 20.0),
        filter_scale=SCALE,
        dx=25e3,
        wall_rows=2,
    )
    clusters.save(tmp_path / "clusters.h5")
    high_fields = {
        "RV_vert_avg": high.values,
        "KE_vert_sum": 40 * (1 + high.values),
        "slope_vert_avg": 1e-3 * (2 + high.values),
        "Rd_dx": 6 + high.values,
    }
    low_fields = {"RV_vert_avg": low.values, "EKE": 20 * (1 + low.values)}
    better = low_fields | {"EKE": low_fields["EKE"] + 1}
    torch.manual_seed(1)
    network = Deployable(clusters, NETWORKS["EKE-ResNet"](0.3))
    write_script(tmp_path / "model.script.pt", network, torch.rand(8, 4))
    return DrawInputs(
        base_daily=write(tmp_path / "base.nc", high, **high_fields),
        high_daily=write(tmp_path / "high.nc", high, **high_fields),
        low_meke_daily=write(tmp_path / "meke.nc", low, **low_fields),
        low_network_daily=write(tmp_path / "network.nc", low, **better),
        script=tmp_path / "model.script.pt",
        clusters_file=tmp_path / "clusters.h5",
        journal=journal,
        folder=tmp_path / "report",
    )


def test_three_pictures_are_drawn_and_recorded(inputs: DrawInputs) -> None:
    rows: list[dict[str, Value]] = []

    def report(series: str, /, **values: Value) -> None:
        assert series == "figure"
        rows.append(values)

    record = draw(inputs, report)
    sizes = {"vorticity.png": (9, 4), "zonal_mean_eke.png": (7, 4.4), "losses.png": (9, 4)}
    assert sorted(path.name for path in inputs.folder.iterdir()) == sorted(sizes)
    assert [artifact.path.name for artifact in record.wrote] == list(sizes)
    for artifact in record.wrote:
        width, height = sizes[artifact.path.name]
        assert artifact.kind == "dataset"
        assert artifact.path.stat().st_size < 300_000
        picture = image.imread(artifact.path, format="png")
        assert picture.shape == (round(height * DPI), round(width * DPI), 4)
        assert picture[..., :3].std() > 0.02
        assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 30
    assert [artifact.path.name for artifact in record.read] == [
        "base.nc",
        "high.nc",
        "meke.nc",
        "network.nc",
        "clusters.h5",
        "model.script.pt",
    ]
    assert rows[-1] == {"figure": 3, "figures": 3}


def test_without_a_new_high_run_the_base_data_are_read_once(inputs: DrawInputs) -> None:
    record = draw(
        inputs.model_copy(update={"high_daily": inputs.base_daily}), lambda *_, **__: None
    )
    assert [artifact.path.name for artifact in record.read].count("base.nc") == 1
    assert record.metrics["high_days"] == 3
    assert "high_window_rms" not in record.metrics, "one window has no other to compare with"


def test_the_zonal_means_are_compared_in_the_metrics(inputs: DrawInputs) -> None:
    metrics = draw(inputs, lambda *_, **__: None).metrics
    assert metrics["figures"] == 3
    high, offline, meke, network = ZonalRow.of_metrics(metrics)
    assert (high.case, high.windows, high.days) == ("high", 2, 6)
    assert (offline.case, offline.windows, offline.days) == ("high_network", 2, 6)
    assert (meke.case, meke.windows, meke.days) == ("low_meke", 1, 12)
    assert network.mean == pytest.approx(meke.mean + 1)
    # The mean of High is far above that of Low's, so that 1 more is 1 less of a distance or so.
    assert network.rms < meke.rms


def test_the_time_mean_of_another_grid_is_refused(inputs: DrawInputs) -> None:
    coarse = inputs.model_copy(update={"high_daily": write_coarse(inputs)})
    with pytest.raises(UsageError, match=r"coarse\.nc has \(32, 24\) cells.*clusters\.h5"):
        draw(coarse, lambda *_, **__: None)
    assert not inputs.folder.exists()


def write_coarse(inputs: DrawInputs) -> Path:
    low = waves(2, 24, 32, 50e3)
    path = inputs.clusters_file.with_name("coarse.nc")
    return write(path, low, RV_vert_avg=low.values, KE_vert_sum=low.values)


def test_the_maps_show_raw_smoothed_and_low_on_one_scale() -> None:
    high, low = waves(2, 48, 64, 25e3), waves(5, 24, 32, 50e3)
    figure = vorticity_figure(high, low, SCALE)
    panels, (bar,) = figure.axes[:3], figure.axes[3:]
    fields = [high.values[-1], smooth(high.values[-1], 25e3, SCALE), low.values[-1]]
    limit = colour_limit(fields)
    for axes, field in zip(panels, fields, strict=True):
        (shown,) = axes.images
        np.testing.assert_array_equal(shown.get_array(), field)
        assert shown.get_clim() == (-limit, limit)
        assert shown.get_extent() == [0, 1200, 0, 1600]
        assert shown.origin == "lower"
    assert [axes.get_title() for axes in panels] == [
        "a) High, day 102",
        "b) High, 80 km filter",
        "c) Low, day 105",
    ]
    assert "(m/s)" in bar.get_ylabel()


def test_a_few_extremes_do_not_set_the_colours() -> None:
    field = np.concatenate([np.linspace(-1, 1, 9999), [1000.0]])
    assert colour_limit([field, field / 2]) == pytest.approx(0.98, abs=1e-3)
    assert colour_limit([np.array([np.nan, 0.0])]) == 1.0


def test_the_profiles_are_drawn_with_the_range_of_their_windows() -> None:
    y = np.arange(32) * 50e3 + 25e3
    windows = np.sin(np.pi * y / 1.6e6) * np.array([[3.0], [9.0]])
    high = Profile(y, windows, np.array([30, 15]))
    low = Profile(y, windows[:1], np.array([1]))
    (axes,) = zonal_mean_figure({"high": high, "low_network": low}, 1e5).axes
    first, second = axes.lines
    np.testing.assert_allclose(first.get_xdata(), y / 1e3)
    np.testing.assert_allclose(first.get_ydata(), (2 * windows[0] + windows[1]) / 3)
    np.testing.assert_allclose(second.get_ydata(), windows[0])
    assert (first.get_color(), second.get_color()) == ("black", "tab:orange")
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == windows[1].max()
    assert band.min() == windows[0].min()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["Phillips-High (45 days)", "Phillips-Low-ML-EKE (1 day)"]
    walls = [(patch.get_x(), patch.get_width()) for patch in axes.patches]
    assert walls == [(0, 100), (1500, 100)]


def test_the_losses_have_a_gap_and_a_mark_where_new_samples_came() -> None:
    history = LossHistory(
        train=np.array([3.0, 2.0, 1.0]),
        validation=np.array([4.0, 3.0, 2.0]),
        ends=np.array([2, 3]),
        test=np.array([2.5, 1.5]),
    )
    (axes,) = losses_figure({"EKE-ResNet": history}).axes
    training, validation, test, border = axes.lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, np.nan, 3])
    np.testing.assert_array_equal(training.get_ydata(), [3, 2, np.nan, 1])
    np.testing.assert_array_equal(validation.get_ydata(), [4, 3, np.nan, 2])
    np.testing.assert_array_equal(test.get_xdata(), [2, 3])
    np.testing.assert_array_equal(test.get_ydata(), [2.5, 1.5])
    np.testing.assert_array_equal(border.get_xdata(), [2.5, 2.5])
    assert axes.get_title() == "EKE-ResNet"
