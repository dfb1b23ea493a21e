"""Puts a trained network into the store, where simulations ask it for answers."""

from __future__ import annotations

import time
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.store.client import StoreClient

START_S = 60.0


class DeployInputs(Inputs):
    """What `deploy` needs.

    Attributes:
        address_file: What the store published; it may appear while we wait.
        script: The network as TorchScript.
        model: The key that simulations ask for.
        device: ``CPU``, ``GPU`` or ``GPU:n`` of the store's machine.
    """

    address_file: Path
    script: Path
    model: str
    device: str = "CPU"


def deploy(inputs: DeployInputs, report: Report) -> Record:
    """Put ``inputs.script`` into the store, and see that it is there.

    Raises:
        UsageError: The script cannot be read.
        ParslflowError: The store cannot be reached, or does not take the script.
    """
    started = time.monotonic()
    try:
        script = inputs.script.read_bytes()
    except OSError as error:
        raise UsageError(f"The model {inputs.script} cannot be read: {error.strerror}.") from error
    with StoreClient.from_address_file(inputs.address_file, START_S) as store:
        store.set_model(inputs.model, script, inputs.device)
        if store.get_model(inputs.model) != script:
            raise ParslflowError(
                f"Store {store.address} gave back another model '{inputs.model}' than it got: "
                "another run uses the same key."
            )
    return Record(
        read=(Artifact(inputs.script, "model", {"key": inputs.model, "device": inputs.device}),),
        metrics={"bytes": len(script), "seconds": round(time.monotonic() - started, 3)},
    )
