"""Models and scripts; on a cluster every shard has a copy of each."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import redis

from parslflow.store import wire
from parslflow.store.tensors import TensorCalls


class ModelCalls(TensorCalls):
    """The calls for models and scripts.

    They are in no keyspace, but the tensors that they are run on are. On a cluster, inputs are
    copied to one shard, and outputs from there to their own.
    """

    def set_model(
        self,
        name: str,
        script: bytes,
        device: str = "CPU",
        *,
        tag: str = "",
        batch_size: int = 0,
        min_batch_size: int = 0,
        min_batch_timeout: int = 0,
    ) -> None:
        """Put the TorchScript ``script`` under ``name``, to run on CPU, GPU or GPU:n.

        Args:
            name: The model's name.
            script: TorchScript as ``torch.jit.save`` writes it.
            device: Where the store runs it.
            tag: A word of one's own, such as a version.
            batch_size: The rows that requests of several clients may have together to be answered
                in one pass; 0 answers each alone.
            min_batch_size: The rows that a pass waits for.
            min_batch_timeout: How long a request waits for others at most, in ms; 0 is no limit.
        """
        whole = memoryview(script)
        settings: list[wire.Word] = ["TORCH", device, *(["TAG", tag] if tag else [])]
        for keyword, number in (
            ("BATCHSIZE", batch_size),
            ("MINBATCHSIZE", min_batch_size),
            ("MINBATCHTIMEOUT", min_batch_timeout),
        ):
            settings += [keyword, number] if number else []

        def work() -> None:
            for prefix, server in self.shards.prefixed():
                size = int(_do(server, "AI.CONFIG", "GET", "MODEL_CHUNK_SIZE"))
                chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
                key = prefix + name.encode()
                _do(server, "AI.MODELSTORE", key, *settings, "BLOB", *chunks)

        self._call(f"model '{name}'", work)

    def get_model(self, name: str) -> bytes:
        """The TorchScript under ``name``.

        Raises:
            MissingKey: There is none.
        """
        reply = self._of_first_shard(f"model '{name}'", "AI.MODELGET", name, "BLOB")
        return b"".join(reply) if isinstance(reply, list) else bytes(reply)

    def model_exists(self, name: str) -> bool:
        """Whether there is something under the model's name."""
        return bool(self._of_first_shard(f"model '{name}'", "EXISTS", name))

    def delete_model(self, name: str) -> None:
        """Delete a model.

        Raises:
            MissingKey: There is none.
        """
        self._everywhere(f"model '{name}'", "AI.MODELDEL", name)

    def run_model(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Run the model ``name`` on tensors ``inputs`` and put its answers under ``outputs``.

        Raises:
            MissingKey: There is no such model, or not one of the inputs.
        """
        self._run(f"model '{name}'", ["AI.MODELEXECUTE"], name, inputs, outputs)

    def set_script(self, name: str, source: str, device: str = "CPU") -> None:
        """Put a TorchScript program under ``name``: Python source of functions of tensors."""
        self._everywhere(f"script '{name}'", "AI.SCRIPTSET", name, device, "SOURCE", source)

    def get_script(self, name: str) -> str:
        """The source of the script ``name``.

        Raises:
            MissingKey: There is none.
        """
        reply = self._of_first_shard(f"script '{name}'", "AI.SCRIPTGET", name, "SOURCE")
        return bytes(reply).decode()

    def script_exists(self, name: str) -> bool:
        """Whether there is something under the script's name."""
        return bool(self._of_first_shard(f"script '{name}'", "EXISTS", name))

    def delete_script(self, name: str) -> None:
        """Delete a script.

        Raises:
            MissingKey: There is none.
        """
        self._everywhere(f"script '{name}'", "AI.SCRIPTDEL", name)

    def run_script(
        self, name: str, function: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Run a function of the script ``name`` on tensors and put its answers under ``outputs``.

        Raises:
            MissingKey: There is no such script, or not one of the inputs.
        """
        self._run(f"script '{name}'", ["AI.SCRIPTRUN", function], name, inputs, outputs)

    def _of_first_shard(self, what: str, command: str, name: str, *words: wire.Word) -> Any:  # noqa: ANN401
        def work() -> Any:  # noqa: ANN401
            prefix, server = self.shards.prefixed()[0]
            return _do(server, command, prefix + name.encode(), *words)

        return self._call(what, work)

    def _everywhere(self, what: str, command: str, name: str, *words: wire.Word) -> None:
        def work() -> None:
            for prefix, server in self.shards.prefixed():
                _do(server, command, prefix + name.encode(), *words)

        # A deletion that is done again would find nothing.
        self._call(what, work, again=not command.endswith("DEL"))

    def _run(
        self,
        what: str,
        call: Sequence[str],
        name: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        sources = [self.source.key(one) for one in inputs]
        if not self.published.clustered:
            targets = [self.target.key(one) for one in outputs]
            words = self._execution(call, name, sources, targets)
            self._call(what, lambda: _do(self.shards.of(name), *words))
            return
        sent = [raw.array() for raw in self.raw_tensors(sources)]

        def work() -> list[Any]:
            prefix, server = self._shard_of(sources)
            mine = prefix + secrets.token_hex(8).encode()
            ins = [b"%b.in%d.TMP" % (mine, number) for number in range(len(inputs))]
            outs = [b"%b.out%d.TMP" % (mine, number) for number in range(len(outputs))]
            pipeline = server.pipeline(transaction=False)
            for key, array in zip(ins, sent, strict=True):
                pipeline.execute_command(*wire.tensor_set(key, array))  # type: ignore[no-untyped-call]
            pipeline.execute_command(*self._execution(call, prefix + name.encode(), ins, outs))  # type: ignore[no-untyped-call]
            for key in outs:
                pipeline.execute_command(*wire.tensor_get(key))  # type: ignore[no-untyped-call]
            pipeline.execute_command("DEL", *ins, *outs)  # type: ignore[no-untyped-call]
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, redis.RedisError):
                    raise reply
            return list(replies[len(ins) + 1 : -1])

        for output, reply in zip(outputs, self._call(what, work), strict=True):
            self.put_tensor(output, wire.read_tensor(output, reply).array())

    def _shard_of(self, inputs: Sequence[str]) -> tuple[bytes, redis.Redis]:
        """The shard of the first input, so that the ranks of a simulation use all shards."""
        shards = self.shards.prefixed()
        if inputs:
            home = self.shards.of(inputs[0])
            return next(shard for shard in shards if shard[1] is home)
        return shards[0]

    def _execution(
        self,
        call: Sequence[str],
        name: wire.Word,
        inputs: Sequence[wire.Word],
        outputs: Sequence[wire.Word],
    ) -> list[wire.Word]:
        command, *function = call
        if function:
            return [command, name, *function, "INPUTS", *inputs, "OUTPUTS", *outputs]
        ins: list[wire.Word] = ["INPUTS", len(inputs), *inputs]
        outs: list[wire.Word] = ["OUTPUTS", len(outputs), *outputs]
        return [command, name, *ins, *outs, "TIMEOUT", int(1000 * self.time_limit_s)]


def _do(server: redis.Redis, *words: wire.Word) -> Any:  # noqa: ANN401
    return server.execute_command(*words)  # type: ignore[no-untyped-call]
