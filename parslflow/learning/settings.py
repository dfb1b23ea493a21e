"""What a training is given. Needs no torch, so that the driver can check and pass it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from typing import Literal

from pydantic import Field
from pydantic import NonNegativeFloat
from pydantic import NonNegativeInt
from pydantic import PositiveFloat
from pydantic import PositiveInt

from parslflow.records import Inputs

BASELINES = ("constant", "linear", "boosted_trees")
"""Names of the regressions; the trees are those of scikit-learn's histograms."""

NetworkName = Literal["EKE-ResNet", "EKE-Bottleneck"]


class TrainingSettings(Inputs):
    """How a network learns."""

    epochs: PositiveInt
    """The most passes over the training part."""
    batch_size: Annotated[int, Field(ge=2)]
    """Rows a step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: PositiveFloat
    """Peak of the one-cycle schedule."""
    weight_decay: NonNegativeFloat = 1e-6
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; AdamW keeps its own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the units of a layer that is left out in a step."""
    stop_below: NonNegativeFloat = 0.0
    """Stop when the validation loss is below this; 0 trains all epochs."""


class TrainInputs(Inputs):
    """The inputs of the stage ``parslflow.learning.training.train``."""

    network: NetworkName
    iteration: NonNegativeInt
    """How often new data had been generated."""
    training_set: Path
    clusters_file: Path
    start_from: Path | None
    """Weights to go on from; None starts from random ones."""
    settings: TrainingSettings
    seed: NonNegativeInt
    threads: PositiveInt
    device: str
    """Where to train, as torch names it: "cpu", "cuda"."""
    weights: Path
    """Where the state dict goes."""
    script: Path
    """Where the TorchScript goes."""
