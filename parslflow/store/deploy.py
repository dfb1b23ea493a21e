"""Puts a trained network where simulations ask it for answers: into the store, or where it lies."""

from __future__ import annotations

import time
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value
from parslflow.store.client import StoreClient

START_S = 60.0


class DeployInputs(Inputs):
    """What `deploy` needs.

    Attributes:
        address_file: What the store published; it may appear while we wait. None: each rank of the
            simulation runs the script itself, from its file.
        script: The network as TorchScript.
        model: The key that simulations ask for.
        device: ``CPU``, ``GPU`` or ``GPU:n`` of the store's machine.
    """

    address_file: Path | None
    script: Path
    model: str
    device: str = "CPU"


def deploy(inputs: DeployInputs, report: Report) -> Record:
    """Put ``inputs.script`` into the store, if one is used, and see that it is there.

    Raises:
        UsageError: The script cannot be read.
        ParslflowError: The store cannot be reached, or does not take the script.
    """
    started = time.monotonic()
    try:
        script = inputs.script.read_bytes()
    except OSError as error:
        raise UsageError(f"The model {inputs.script} cannot be read: {error.strerror}.") from error
    if inputs.address_file is None:
        about: dict[str, Value] = {"key": inputs.model, "device": "CPU", "inference": "in-process"}
    else:
        _put(inputs, inputs.address_file, script)
        about = {"key": inputs.model, "device": inputs.device}
    return Record(
        read=(Artifact(inputs.script, "model", about),),
        metrics={"bytes": len(script), "seconds": round(time.monotonic() - started, 3)},
    )


def _put(inputs: DeployInputs, address_file: Path, script: bytes) -> None:
    with StoreClient.from_address_file(address_file, START_S) as store:
        store.set_model(inputs.model, script, inputs.device)
        if store.get_model(inputs.model) != script:
            raise ParslflowError(
                f"Store {store.address} gave back another model '{inputs.model}' than it got: "
                "another run uses the same key."
            )
