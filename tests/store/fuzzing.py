"""Commands for the module that are almost right, without end."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

Words = list[bytes]

KEYS = [b"x", b"y", b"z", b"m", b"n", b"s", b"text", b"none", b"{a}.x", b""]
FUNCTIONS = [b"twice", b"fails", b"loops", b"grows", b"nothing", b""]
DTYPES = [b"FLOAT", b"DOUBLE", b"INT8", b"INT16", b"INT32", b"INT64", b"UINT8", b"UINT16"]
KEYWORDS = [
    *(b"BLOB", b"META", b"TORCH", b"TF", b"CPU", b"GPU", b"GPU:1", b"GPU:x", b"TAG", b"INPUTS"),
    *(b"OUTPUTS", b"TIMEOUT", b"SOURCE", b"GET", b"RESETSTAT", b"BATCHSIZE", b"MINBATCHSIZE"),
    *(b"MINBATCHTIMEOUT", b"MODEL_CHUNK_SIZE"),
]
NUMBERS = [0, 1, 2, 3, 7, 16, 255, 2**31 - 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64, -1, -(2**63)]
SCRIPT = b"""
def twice(x):
    return 2 * x
def fails(x):
    return x.reshape(7, 7)
def loops(x):
    for _ in range(100):
        x = x + 1
    return x
def grows(x, y):
    x.add_(1)
    return [x, y], x
"""


class Fuzzer:
    """Draws commands from a seed.

    Args:
        seed: What is drawn.
        models: TorchScript blobs.
    """

    def __init__(self, seed: int, models: list[bytes]) -> None:
        self._random = random.Random(seed)
        self._models = models

    def __iter__(self) -> Iterator[Words]:
        while True:
            words = self._whole()
            if self._random.random() < 0.7:
                self._mutate(words)
            yield words
            if words == [b"MULTI"]:  # short: what is queued is not run when one of it is refused
                yield self._whole()
                yield self._whole()
                yield [b"EXEC"]

    def useful(self) -> list[Words]:
        """Commands after which others find a tensor, a model and a script."""
        batched = [b"BATCHSIZE", b"8"]
        waiting = [*batched, b"MINBATCHSIZE", b"4", b"MINBATCHTIMEOUT", b"1"]
        settings = self._random.choice([[], batched, waiting])
        blob = self._random.choice(self._models)
        return [
            [b"AI.TENSORSET", b"x", b"FLOAT", b"2", b"4", b"BLOB", bytes(32)],
            [b"AI.MODELSTORE", b"m", b"TORCH", b"CPU", *settings, b"BLOB", blob],
            [b"AI.SCRIPTSET", b"s", b"CPU", b"SOURCE", SCRIPT],
        ]

    def _whole(self) -> Words:
        """A command as it should be."""
        pick, draw = self._random.choice, self._random
        key = pick(KEYS)
        kind = draw.randrange(14)
        if kind <= 2:
            return self._tensor(key)
        if kind == 3:
            return [b"AI.TENSORGET", key, *draw.sample([b"META", b"BLOB"], draw.randrange(3))]
        if kind == 4:
            settings: Words = []
            for name in draw.sample(KEYWORDS[8:], draw.randrange(4)):
                settings += [name, self._number()]
            return [b"AI.MODELSTORE", pick([b"m", b"n", key]), b"TORCH", b"CPU", *settings, b"BLOB",
                    self._model()]  # fmt: skip
        if kind <= 7:
            return [b"AI.MODELEXECUTE", pick([b"m", b"n", key]), *self._counted(b"INPUTS"),
                    *self._counted(b"OUTPUTS"), b"TIMEOUT", pick([b"1", b"5", b"100"])]  # fmt: skip
        if kind == 8:
            source = SCRIPT if draw.random() < 0.7 else SCRIPT[: draw.randrange(len(SCRIPT))]
            return [b"AI.SCRIPTSET", pick([b"s", key]), b"CPU", b"SOURCE", source]
        if kind <= 10:
            return [b"AI.SCRIPTRUN", pick([b"s", key]), pick(FUNCTIONS), b"INPUTS",
                    *draw.choices(KEYS, k=draw.randrange(3)), b"OUTPUTS",
                    *draw.choices(KEYS, k=draw.randrange(3))]  # fmt: skip
        if kind == 11:
            return [b"AI.INFO", key, *([b"RESETSTAT"] if draw.random() < 0.3 else [])]
        if kind == 12:
            size = (
                [b"GET", b"MODEL_CHUNK_SIZE"]
                if draw.random() < 0.5
                else [b"MODEL_CHUNK_SIZE", b"999"]
            )
            return [b"AI.CONFIG", *size]
        return pick(
            [
                [b"AI.MODELDEL", key], [b"AI.MODELGET", key, b"META", b"BLOB"],
                [b"AI.SCRIPTDEL", key],
                [b"AI.SCRIPTGET", key, b"SOURCE"], [b"DEL", key], [b"UNLINK", key],
                [b"SET", b"text", b"x"], [b"RENAME", key, pick(KEYS)], [b"COPY", key, pick(KEYS)],
                [b"DUMP", key], [b"MEMORY", b"USAGE", key], [b"FLUSHALL", b"ASYNC"],
                [b"BGREWRITEAOF"], [b"MULTI"], [b"EXEC"], [b"DISCARD"],
                [b"EVAL", b"return redis.call('AI.SCRIPTRUN', KEYS[1], 'twice', 'INPUTS', KEYS[2], "
                 b"'OUTPUTS', KEYS[2])", b"2", b"s", key],
            ]
        )  # fmt: skip

    def _tensor(self, key: bytes) -> Words:
        draw = self._random
        shape = [draw.choice([0, 1, 2, 3, 4, 8]) for _ in range(draw.randrange(4))]
        size = draw.choice([1, 2, 4, 8])
        for length in shape:
            size *= length
        lengths = [str(length).encode() for length in shape]
        return [b"AI.TENSORSET", key, draw.choice(DTYPES), *lengths, b"BLOB", draw.randbytes(size)]

    def _counted(self, keyword: bytes) -> Words:
        names = self._random.choices(KEYS[:4], k=self._random.randrange(1, 3))
        return [keyword, str(len(names)).encode(), *names]

    def _number(self) -> bytes:
        return str(self._random.choice(NUMBERS)).encode()

    def _model(self) -> bytes:
        """A model, whole or with some of its bytes changed or cut off."""
        blob = self._random.choice(self._models)
        fate = self._random.random()
        if fate < 0.4:
            return blob
        if fate < 0.6:
            return blob[: self._random.randrange(len(blob))]
        changed = bytearray(blob)
        for _ in range(self._random.randrange(1, 9)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _mutate(self, words: Words) -> None:
        draw = self._random
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(1, len(words) + 1)
            fate = draw.randrange(7)
            if fate == 0:
                words.insert(at, self._word())
            elif at == len(words):
                words.append(self._word())
            elif fate == 1:
                del words[at]
            elif fate == 2:
                words[at] = self._word()
            elif fate == 3:
                words[at] = words[at].swapcase()
            elif fate == 4:
                other = draw.randrange(1, len(words))
                words[at], words[other] = words[other], words[at]
            elif fate == 5:
                del words[at:]
            else:
                words[at] = words[at][: draw.randrange(len(words[at]) + 1)] + draw.randbytes(2)

    def _word(self) -> bytes:
        draw = self._random
        kind = draw.randrange(5)
        if kind == 0:
            return self._number()
        if kind == 1:
            return draw.randbytes(draw.choice([0, 1, 8, 200]))
        if kind == 2:
            return struct.pack("<d", draw.random())
        return draw.choice([*KEYWORDS, *KEYS, *DTYPES])
