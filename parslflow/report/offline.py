"""What the deployed network makes of High's own fields: its error apart from the coarse flow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow.learning.clusters import Clusters
from parslflow.report.daily import count_days
from parslflow.report.daily import read_daily
from parslflow.report.zonal import Profile
from parslflow.report.zonal import windows_of
from parslflow.report.zonal import zonal_mean
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features

CELLS_A_FILTER = 4
"""Columns asked in each width of the filter: between them its features hardly change."""

Array = NDArray[np.float64]


def offline_profile(paths: list[Path], script: Path, clusters: Clusters) -> Profile:
    """The profile of EKE that a network answers to the features of High in all ``paths``.

    Args:
        paths: daily output of High.
        script: the network as TorchScript that takes features as a simulation has them.
        clusters: of the base data, for the filter scale.

    Raises:
        UsageError: a file cannot be read or lacks a field.
    """
    # Here, since the driver imports the figures for their inputs and needs no torch.
    import torch

    from parslflow.learning.deployment import torchscript

    with torchscript():
        network = torch.jit.load(script)  # type: ignore[no-untyped-call]
    stride = max(1, round(clusters.filter_scale / clusters.dx / CELLS_A_FILTER))
    y, means, days = np.empty(0), [], []
    for path in paths:
        for part in windows_of(count_days(path, FIELDS[0])):
            window = {name: read_daily(path, name, part) for name in FIELDS}
            answers = []
            for day in range(len(window[FIELDS[0]].time)):
                fields = {name: daily.values[day] for name, daily in window.items()}
                asked = features(fields, clusters.dx, clusters.filter_scale)[:, ::stride]
                with torch.inference_mode():
                    answer = network(torch.from_numpy(asked.reshape(-1, asked.shape[-1])))
                answers.append(np.expm1(answer.numpy().astype(np.float64)))
            shape = (len(answers), *asked.shape[:2])
            y = window[FIELDS[0]].y
            means.append(zonal_mean(np.array(answers).reshape(shape)))
            days.append(len(answers))
    return Profile(y, np.array(means), np.array(days))
