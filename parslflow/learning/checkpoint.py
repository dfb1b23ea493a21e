"""What a training that was stopped goes on from: its state after an epoch, beside its weights."""

from __future__ import annotations

import copy
import hashlib
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from parslflow.learning.settings import TrainInputs
from parslflow.provenance.events import sha256
from parslflow.records import Report
from parslflow.rundir import atomic_path

SECONDS = 30.0
"""A training writes its state at most once in so many seconds."""

SERIES = "checkpoint"
"""The series that tells what a training went on from."""

_Part = nn.Module | torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler


def path(weights: Path) -> Path:
    """Where the checkpoint of the training that writes ``weights`` lies."""
    return weights.with_name(f"{weights.name}.checkpoint")


class Checkpoint:
    """The state of one training: network, optimizer, schedule, epoch and random numbers.

    A training that goes on from it ends with the bits of one that was never stopped. The file
    holds tensors, numbers and strings only, and appears whole. It is known by its inputs and by the
    content of the files that these name: one of another training is ignored.

    Args:
        inputs: the training's.
        network: on the device that it is trained on.
        optimizer: of the network's parameters.
        schedule: of the optimizer's learning rate.
    """

    def __init__(
        self,
        inputs: TrainInputs,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> None:
        self._path = path(inputs.weights)
        self._digest = _digest(inputs)
        self._parts: dict[str, _Part] = {
            "network": network,
            "optimizer": optimizer,
            "schedule": schedule,
        }
        self._device = next(network.parameters()).device
        self._written = time.monotonic()

    def restore(self, report: Report) -> int:
        """Take up the state that was written, and say after how many epochs it was.

        Where there is none of this training, or it is damaged, nothing is changed and the answer is
        0. A row of ``SERIES`` tells what was gone on from, and what is wrong with a damaged file.
        """
        if not self._path.is_file():
            return 0
        start = copy.deepcopy(self._state())
        try:
            found = _read(self._path)
            if found["digest"] != self._digest:
                return 0
            self._take(found)
            epoch = int(found["epoch"])
        # Whatever is wrong with it, the training can begin again.
        except Exception as error:
            self._take(start)
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            report(SERIES, epoch=0, problem=f"{self._path} is damaged ({said})")
            return 0
        report(SERIES, epoch=epoch)
        return epoch

    def save(self, epoch: int) -> None:
        """Write the state after ``epoch``, unless it was written a short while ago."""
        if time.monotonic() - self._written < SECONDS:
            return
        with atomic_path(self._path) as temporary:
            torch.save({"digest": self._digest, "epoch": epoch, **self._state()}, temporary)
        self._written = time.monotonic()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        state["random"] = torch.get_rng_state()
        if self._device.type != "cpu":
            device = torch.get_device_module(self._device)
            state["device_random"] = device.get_rng_state(self._device)
        return state

    def _take(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        if self._device.type != "cpu":
            device = torch.get_device_module(self._device)
            device.set_rng_state(state["device_random"], self._device)


def _digest(inputs: TrainInputs) -> str:
    """What a training is known by: its inputs and what is in the files that it reads."""
    files = [inputs.training_set, inputs.clusters_file]
    if inputs.start_from is not None:
        files.append(inputs.start_from)
    text = "\n".join([inputs.model_dump_json(), *map(sha256, files)])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        ValueError: a part of it is not as it was written.
    """
    # torch writes a checksum of every part, and looks at none.
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is not as it was written")
    found: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return found
