"""Stage: a network learns, and is written as weights to go on from and as a script to deploy."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # raised by torch; nothing is unpickled here

import numpy as np
import torch
from torch import Tensor
from torch import nn

from parslflow.errors import DivergedError
from parslflow.errors import UsageError
from parslflow.learning import checkpoint
from parslflow.learning.assemble import TrainingSet
from parslflow.learning.assemble import read_with_clusters
from parslflow.learning.checkpoint import Checkpoint
from parslflow.learning.clusters import Clusters
from parslflow.learning.deployment import Deployable
from parslflow.learning.deployment import write_script
from parslflow.learning.networks import NETWORKS
from parslflow.learning.samples import Samples
from parslflow.learning.settings import TrainingSettings
from parslflow.learning.settings import TrainInputs
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value
from parslflow.rundir import atomic_path

EVALUATION_ROWS = 8192
"""Rows that are evaluated at once."""

TRIED_ROWS = 1000
"""Rows that a TorchScript is tried on before it is written."""

Pairs = tuple[Tensor, Tensor]
"""Transformed features (n, 4) and ln(1 + EKE) (n,), float32."""


def train(inputs: TrainInputs, report: Report) -> Record:
    """Train a network on the mean squared error of ln(1 + EKE), and write it.

    The same inputs with the same number of threads on a CPU give the same weights, whether or not
    the training was stopped in between: it goes on from its last checkpoint.

    Raises:
        UsageError: A file is missing, damaged or does not go with the others, or there is no such
            device.
        DivergedError: A loss is not finite; nothing was written.
    """
    start = time.perf_counter()
    torch.set_num_threads(inputs.threads)
    torch.manual_seed(inputs.seed)
    device = _device(inputs.device)
    training_set, clusters = read_with_clusters(inputs.training_set, inputs.clusters_file)
    network = NETWORKS[inputs.network](inputs.settings.dropout)
    if inputs.start_from is not None:
        _load(network, inputs.start_from, inputs.network)
    network.to(device)

    parts = {
        "train": training_set.part("train"),
        "validation": training_set.part("validation"),
        "known": _known(training_set, clusters),
        "test": training_set.part("test"),
    }
    pairs = {name: _pairs(part, clusters, device) for name, part in parts.items()}
    epochs, train_loss = _fit(network, pairs["train"], pairs["validation"], inputs, report)
    losses = {
        f"{name}_loss": evaluate(network, pairs[name])
        for name in ("validation", "known", "test")
        if len(parts[name])
    }
    _demand_finite(losses, inputs, "after its last epoch")

    network.to("cpu").eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    with atomic_path(inputs.weights) as temporary:
        temporary.write_bytes(buffer.getvalue())
    tried = torch.from_numpy(parts["test"].features[:TRIED_ROWS])
    write_script(inputs.script, Deployable(clusters, network), tried)
    checkpoint.path(inputs.weights).unlink(missing_ok=True)

    read = [Artifact(inputs.training_set, "dataset"), Artifact(inputs.clusters_file, "dataset")]
    if inputs.start_from is not None:
        read.append(Artifact(inputs.start_from, "model"))
    properties: dict[str, Value] = {
        "network": inputs.network,
        "iteration": inputs.iteration,
        "clusters": clusters.id,
        "test_loss": losses["test_loss"],
    }
    return Record(
        read=tuple(read),
        wrote=(
            Artifact(inputs.weights, "model", {**properties, "form": "weights"}),
            Artifact(inputs.script, "model", {**properties, "form": "TorchScript"}),
        ),
        metrics={
            "train_loss": train_loss,
            **losses,
            "epochs": epochs,
            "samples": len(parts["train"]),
            "seconds": time.perf_counter() - start,
        },
    )


def evaluate(network: nn.Module, pairs: Pairs) -> float:
    """Mean squared error of the network, without dropout."""
    x, y = pairs
    pieces = math.ceil(len(y) / EVALUATION_ROWS)
    network.eval()
    total = 0.0
    with torch.inference_mode():
        for some, target in zip(x.tensor_split(pieces), y.tensor_split(pieces), strict=True):
            total += float(((network(some) - target) ** 2).sum(dtype=torch.float64))
    return total / len(y)


def _fit(
    network: nn.Module, train: Pairs, validation: Pairs, inputs: TrainInputs, report: Report
) -> tuple[int, float]:
    """Train, and say after how many epochs it ended, with which mean loss over the last of them."""
    settings = inputs.settings
    x, y = train
    # Equal batches of at least batch_size: no small one at the end to upset batch normalisation.
    steps = max(1, len(y) // settings.batch_size)
    optimizer = _optimizer(network, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=settings.learning_rate,
        total_steps=steps * settings.epochs,
        cycle_momentum=False,
    )
    kept = Checkpoint(inputs, network, optimizer, schedule)
    train_loss = math.nan
    for epoch in range(kept.restore(report) + 1, settings.epochs + 1):
        network.train()
        total = torch.zeros((), device=x.device)
        for rows in torch.randperm(len(y), device=x.device).tensor_split(steps):
            loss = nn.functional.mse_loss(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(rows)
        train_loss = float(total) / len(y)
        validation_loss = evaluate(network, validation)
        losses = {"train_loss": train_loss, "validation_loss": validation_loss}
        _demand_finite(losses, inputs, f"in epoch {epoch}")
        report("epoch", epoch=epoch, epochs=settings.epochs, **losses)
        if validation_loss < settings.stop_below:
            return epoch, train_loss
        if epoch < settings.epochs:
            kept.save(epoch)
    return settings.epochs, train_loss


def _demand_finite(losses: Mapping[str, float], inputs: TrainInputs, when: str) -> None:
    """Refuse losses that are not finite."""
    if not all(map(math.isfinite, losses.values())):
        said = ", ".join(f"{name.replace('_', ' ')} {loss}" for name, loss in losses.items())
        raise DivergedError(
            f"{inputs.network} diverged on {inputs.training_set} {when} ({said}): lower "
            f"'learning_rate' = {inputs.settings.learning_rate}."
        )


def _optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"the device '{name}' is not to be had ({str(error).splitlines()[0]}): choose 'cpu' or "
            "another device in the site."
        ) from error


def _load(network: nn.Module, path: Path, name: str) -> None:
    """Give ``network`` the weights in the file ``path``."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the weights of an earlier training.")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, TypeError, UnpicklingError) as error:
        cause = (str(error) or "it is cut").splitlines()[0]
        raise UsageError(
            f"{path} does not hold the weights of {name} ({cause}): give the weights of an earlier "
            "training of the same network."
        ) from error


def _known(training_set: TrainingSet, clusters: Clusters) -> Samples:
    """The rows that were neither trained nor chosen on, of the clusters that are always known."""
    held = training_set.part("held")
    return held.take(held.cluster != clusters.withheld)


def _pairs(samples: Samples, clusters: Clusters, device: torch.device) -> Pairs:
    x = clusters.transform(samples.features).astype(np.float32)
    y = np.log1p(samples.eke).astype(np.float32)
    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
