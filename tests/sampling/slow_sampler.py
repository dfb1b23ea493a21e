"""A sampler that takes its time. Arguments: the file of its inputs, and seconds a time at least."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.records import Value
from parslflow.sampling.sampler import SampleInputs
from parslflow.sampling.sampler import sample


def main(inputs: Path, pause_s: float) -> None:
    """Sample, and print the metrics as JSON."""

    def report(series: str, /, **values: Value) -> None:
        time.sleep(pause_s)

    try:
        record = sample(SampleInputs.model_validate_json(inputs.read_text()), report)
    except ParslflowError as error:
        sys.exit(str(error))
    print(json.dumps(record.metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
