"""The lineage of a loop of any length, as the demo's."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable

from parslflow.provenance.events import Value
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.queries import Lineage

NETWORKS = ("EKE-ResNet", "EKE-Bottleneck")


class _Loop:
    def __init__(self) -> None:
        self.nodes: list[Artifact | Execution] = []
        self.edges: list[Edge] = []

    def execution(
        self,
        name: str,
        used: Iterable[str] = (),
        status: str = "completed",
        iteration: int | None = None,
        **metrics: Value,
    ) -> str:
        key = f"execution-{len(self.nodes)}"
        properties: dict[str, Value] = {} if iteration is None else {"iteration": iteration}
        self.nodes.append(Execution(key, name.split("-")[0], name, status, properties, metrics))
        self.edges += [Edge(one, key) for one in used]
        return key

    def file(self, path: str, by: str) -> str:
        key = f"artifact-{len(self.nodes)}"
        kind = "model" if path.endswith(".pt") else "dataset"
        self.nodes.append(
            Artifact(key, "model" if kind == "model" else "dataset", path, f"{key:0<64}", {})
        )
        self.edges.append(Edge(by, key))
        return key


def loop(iterations: int, deployed: int | None = None, failed: Collection[int] = ()) -> Lineage:
    """All of a run whose training in the iterations ``failed`` failed, from the deployed model."""
    run = _Loop()
    restart = run.file("simulations/spinup-high/restart.nc", run.execution("spinup-high"))
    base = run.execution("base", [restart])
    high = run.file("simulations/base/restart.nc", base)
    daily = run.file("simulations/base/daily.nc", base)
    prepared = run.execution("prepare", [daily])
    samples = run.file("samples/base.h5", prepared)
    clusters = run.file("samples/clusters.h5", prepared)
    batches: list[str] = []
    weights: dict[str, str] = {}
    scripts: dict[str, str] = {}
    for number in range(iterations):
        if number > 0:
            simulation = run.execution(f"generate-{number}", [high], iteration=number, cfl=0.1)
            stream = run.file(f"simulations/generate-{number}/stream.json", simulation)
            high = run.file(f"simulations/generate-{number}/restart.nc", simulation)
            sampled = run.execution(f"sample-{number}", [clusters, stream], iteration=number)
            batches.append(run.file(f"samples/batch-{number}.h5", sampled))
        assembled = run.execution(f"assemble-{number}", [samples, *batches], iteration=number)
        training_set = run.file(f"samples/training-{number}.h5", assembled)
        for network in NETWORKS:
            training = run.execution(
                f"train-{network}-{number}",
                [training_set, clusters, *(weights[one] for one in weights if one == network)],
                status="failed" if number in failed else "completed",
                iteration=number,
                test_loss=0.7 - 0.001 * number,
            )
            weights[network] = run.file(f"models/{network}-{number}.pt", training)
            script = run.file(f"models/{network}-{number}.script.pt", training)
            scripts[f"{network}-{number}"] = script
        run.execution(
            f"evaluate-{number}",
            [scripts[f"{network}-{number}"] for network in NETWORKS],
            iteration=number,
            best=f"EKE-ResNet-{number}",
        )
    model = scripts[f"EKE-ResNet-{iterations - 1 if deployed is None else deployed}"]
    run.execution("deploy", [model])
    low = run.file("simulations/low-network/daily.nc", run.execution("low-network", [model]))
    figures = run.execution("figures", [low, daily])
    for name in ("vorticity", "losses"):
        run.file(f"report/{name}.png", figures)
    return Lineage(model, tuple(run.nodes), tuple(run.edges))
