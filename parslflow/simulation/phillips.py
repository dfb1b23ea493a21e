"""Runs the two-layer Phillips model: its input file, its folder, its ranks, its progress."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value
from parslflow.rundir import atomic_path
from parslflow.rundir import is_full
from parslflow.sampling.kept import are_batched
from parslflow.sampling.kept import kept_stamps
from parslflow.simulation import checkpoints
from parslflow.simulation.checkpoints import Checkpoint
from parslflow.simulation.settings import DAILY
from parslflow.simulation.settings import RESTART
from parslflow.simulation.settings import STREAM
from parslflow.simulation.settings import Network
from parslflow.simulation.settings import SimulateInputs
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.stream import given_up
from parslflow.store.wire import Dataset
from parslflow.tether import tethered

INFERENCE_LIBRARY = Path(sys.prefix) / "lib" / "libparslflow_inference.so"
"""What runs models in the simulation's process, as ``make build`` installs it."""

WATCH_SECONDS = 0.5
"""How often a model looks whether its stream is given up."""

_DAY = re.compile(r"^day\s+(\S+) of (\S+)((?: \S+=\S+)*)\s*$")


def simulate(inputs: SimulateInputs, report: Report) -> Record:
    """Run the model to its end, reporting every model day as a row of the series ``day``.

    It goes on from the last restart that an earlier run of the same inputs left on its way and
    before which nothing is to be sent again.

    Raises:
        UsageError: the launch command, the program or what runs its network is not there.
        ParslflowError: the model stopped early; the message ends with its own last words.
    """
    inputs.folder.mkdir(parents=True, exist_ok=True)
    with checkpoints.alone(inputs.folder) as held:
        return _simulate(inputs, report, held)


def _simulate(inputs: SimulateInputs, report: Report, held: IO[str]) -> Record:
    """The same, alone in the folder as long as the lock ``held`` is."""
    key = _key(inputs)
    sampled = None
    if inputs.stream is not None:
        sampled = frozenset().union(*(kept_stamps(batch, key) for batch in inputs.batches))
    begun = checkpoints.last(inputs.folder, key, sampled)
    text = _rest(inputs, begun)
    # Where all is in batches already, nobody waits for the tiles any more.
    wanted = not are_batched(inputs.batches, key)
    if not wanted:
        text = _set(text, "list", "''")
    input_file = inputs.folder / "input.nml"
    with atomic_path(input_file) as temporary:
        temporary.write_text(text, encoding="utf-8")

    for name in (RESTART, DAILY):
        # What an earlier attempt left may be one file with a version that is kept.
        (inputs.folder / name).unlink(missing_ok=True)
    if inputs.stream is not None:
        _forget_the_end(inputs, wanted)
        # From now on samplers look for tiles.
        stream = inputs.stream.model_copy(update={"inputs": key})
        stream.save(inputs.folder / STREAM)

    cached = inputs.cache / key / RESTART if inputs.cache is not None else None
    if cached is not None and cached.is_file():
        with atomic_path(inputs.folder / RESTART) as temporary:
            shutil.copyfile(cached, temporary)
        metrics: dict[str, Value] = {"reused": str(cached.parent)}
    else:
        try:
            metrics = _run(inputs, input_file, begun, report, held)
        except ParslflowError:
            if not are_batched(inputs.batches, key):
                _tell_the_sampler(inputs)
            raise
        if cached is not None:
            with atomic_path(cached) as temporary:
                shutil.copyfile(inputs.folder / RESTART, temporary)
    went_on_from = checkpoints.finish(inputs.folder, begun)

    read = [Artifact(input_file, "dataset")]
    if inputs.restart is not None:
        read.append(Artifact(inputs.restart, "dataset"))
    if went_on_from is not None and begun is not None:
        read.append(Artifact(went_on_from, "dataset", {"day": begun.days}))
    if inputs.network is not None:
        read.append(Artifact(inputs.network.script, "model"))
    outputs = (inputs.folder / name for name in (RESTART, DAILY, STREAM))
    return Record(
        read=tuple(read),
        wrote=tuple(Artifact(path, "dataset") for path in outputs if path.is_file()),
        metrics=metrics,
    )


def _rest(inputs: SimulateInputs, begun: Checkpoint | None) -> str:
    """The input file for what is left of the run."""
    if begun is None:
        return inputs.namelist
    text = inputs.namelist
    left = float(_setting(text, "days")) - _days_before(inputs, begun)
    return _set(_set(text, "days", repr(left)), "restart_in", f"'{begun.path}'")


def _days_before(inputs: SimulateInputs, begun: Checkpoint | None) -> float:
    """Days of the run that are behind the state that it goes on from."""
    if begun is None:
        return 0.0
    return begun.days - (checkpoints.days(inputs.restart) if inputs.restart is not None else 0.0)


def _setting(text: str, key: str) -> str:
    """What a line of an input file gives a key.

    Raises:
        UsageError: there is no such line.
    """
    found = re.search(_line(key), text)
    if found is None:
        raise UsageError(f"the namelist has no line '{key} = …': give one.")
    return found[2]


def _set(text: str, key: str, value: str) -> str:
    """The input file with another value of a key that it has."""
    return re.sub(_line(key), lambda line: f"{line[1]}{value}", text)


def _line(key: str) -> str:
    """What matches the line of a key, in two parts: up to the value, and the value."""
    return rf"(?m)^([ \t]*{key}[ \t]*=[ \t]*)(.*)$"


def _run(
    inputs: SimulateInputs,
    input_file: Path,
    begun: Checkpoint | None,
    report: Report,
    held: IO[str],
) -> dict[str, Value]:
    """Start the ranks and follow their output; the last day's diagnostics."""
    launch = [part.replace("{ranks}", str(inputs.ranks)) for part in inputs.launch]
    if shutil.which(launch[0]) is None:
        raise UsageError(
            f"'{launch[0]}' cannot be started (there is no such program here): mend the site's "
            "launch command."
        )
    # Ranks of a worker that was killed would go on writing where its successor writes.
    command = tethered([*launch, str(inputs.executable), input_file.name])
    environment = (
        os.environ | inputs.environment | events.environment() | _store_environment(inputs)
    )
    if inputs.network is not None:
        environment |= _inference_environment(inputs.network)
    checkpoints.share(held)
    with (inputs.folder / "stderr.log").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(
            command,
            cwd=inputs.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=(held.fileno(),),
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101  (it is a pipe)
                before = _days_before(inputs, begun)
                with _ending_with_its_stream(process, inputs):
                    last = _follow(process.stdout, inputs.folder / "stdout.log", before, report)
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            if reason := _given_up(inputs):
                raise ParslflowError(f"Its tiles are not sampled any more, so it ended: {reason}")
            errors.seek(0)
            words = " ".join(deque((line.strip() for line in errors if line.strip()), maxlen=3))
            if is_full(inputs.folder):
                # Its last words, which are there too, may have been cut.
                words += " The disk is full: free some space, then 'parslflow resume' goes on."
            raise ParslflowError(
                f"{inputs.executable.name} in {inputs.folder} ended with exit code "
                f"{process.returncode}: {words.strip() or 'it said nothing; see stdout.log'}"
            )
    return last


@contextmanager
def _ending_with_its_stream(
    process: subprocess.Popen[str], inputs: SimulateInputs
) -> Iterator[None]:
    """End the model during the block when its stream is given up: it would wait for ever."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_SECONDS):
            if _given_up(inputs):
                process.terminate()
                return

    thread = threading.Thread(target=watch, daemon=True)
    if inputs.stream is not None:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()


def _given_up(inputs: SimulateInputs) -> str:
    """Why nobody samples what the model sends; empty if that is not so."""
    return given_up(inputs.folder / STREAM) if inputs.stream is not None else ""


def _follow(lines: Iterable[str], log: Path, before: float, report: Report) -> dict[str, Value]:
    """Copy the model's output to ``log`` and report its days, which follow the ``before``."""
    last: dict[str, Value] = {}
    with log.open("w", encoding="utf-8") as copy:
        for line in lines:
            copy.write(line)
            copy.flush()
            match = _DAY.match(line)
            if match is None:
                continue
            pairs = (pair.split("=", 1) for pair in match[3].split())
            last = {key: float(value) for key, value in pairs}
            day, days = before + float(match[1]), before + float(match[2])
            report("day", day=day, days=days, **last)
    return last


def _store_environment(inputs: SimulateInputs) -> dict[str, str]:
    """The store's address and the stream's keyspace, as SmartRedis clients expect them."""
    if inputs.address_file is None:
        return {}
    variables = Address.load(inputs.address_file).environment()
    if inputs.stream is not None:
        # Set also where there is none: this process may itself be a member of an ensemble.
        variables |= dict.fromkeys(("SSKEYIN", "SSKEYOUT"), inputs.stream.keyspace)
    return variables


def _inference_environment(network: Network) -> dict[str, str]:
    """Where the simulation's client finds the network.

    Raises:
        UsageError: nothing can run it in the process, or its file is not called as it must be.
    """
    if not network.in_process:
        return {"PARSLFLOW_INFERENCE": "store"}
    if not INFERENCE_LIBRARY.is_file():
        raise UsageError(
            f"inference = 'in-process': {INFERENCE_LIBRARY} is not there; build it with "
            "'make build'."
        )
    if network.script.name != f"{network.key}.script.pt":
        raise UsageError(
            f"inference = 'in-process': the script of model '{network.key}' must be called "
            f"{network.key}.script.pt, not {network.script.name}."
        )
    return {
        "PARSLFLOW_INFERENCE": "in-process",
        "PARSLFLOW_MODELS": str(network.script.parent),
        "PARSLFLOW_LIBTORCH": str(INFERENCE_LIBRARY),
    }


def _forget_the_end(inputs: SimulateInputs, wanted: bool) -> None:
    """Delete the end marker of an earlier run, whose tiles this one goes on with if wanted."""
    if inputs.stream is None or inputs.address_file is None:
        return
    keyspace = inputs.stream.keyspace
    with StoreClient.from_address_file(inputs.address_file, keyspace=keyspace) as store:
        store.delete_datasets([f"{inputs.stream.run}_end"])
        if not wanted:
            store.drain_list(inputs.stream.list)


def _tell_the_sampler(inputs: SimulateInputs) -> None:
    """Append the end marker that the dead simulation cannot append."""
    if inputs.stream is None or inputs.address_file is None:
        return
    keyspace = inputs.stream.keyspace
    with StoreClient.from_address_file(inputs.address_file, keyspace=keyspace) as store:
        if _given_up(inputs):
            # They would be in the way of other simulations.
            store.delete_datasets(store.find_datasets(f"{inputs.stream.run}_"))
        marker = Dataset(f"{inputs.stream.run}_end", metadata={"times": [0], "status": [1]})
        store.put_dataset(marker, list=inputs.stream.list)


def _key(inputs: SimulateInputs) -> str:
    """A name for what this program makes of this input, wherever its restart lies."""
    text = inputs.namelist
    if inputs.restart is not None:
        text = text.replace(str(inputs.restart), events.sha256(inputs.restart))
    digest = hashlib.sha256(text.encode())
    digest.update(inputs.executable.read_bytes())
    if inputs.network is not None:
        digest.update(events.sha256(inputs.network.script).encode())
    return digest.hexdigest()[:16]
