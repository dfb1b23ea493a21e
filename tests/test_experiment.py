from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit

from parslflow import experiment
from parslflow.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "experiments"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_in_the_repository_is_valid(path: Path) -> None:
    assert experiment.load(path).name == path.stem


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = (CONFIGS / "demo.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "edited.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("spinup_days =", "spinup_dais =", ["high.spinup_dais", "did you mean 'spinup_days'?"]),
        ("seed = 2025", "seed = 'x'", ["'seed'", "integer"]),
        ("seed = 2025\n", "", ["'seed' is missing"]),
        ("layout = [1, 2] ", "layout = [1, 7] ", ["160", "7 ranks", "y", "'high'"]),
        ("iterations =", "rounds =", ["loop"]),
        ('["EKE-ResNet",', '["EKE-Resnet",', ["training.networks.0", "EKE-ResNet"]),
        ("[store]", "[stores]", ["'stores'", "did you mean 'store'?"]),
        ('name = "demo"', 'name = "a/b"', ["'name'"]),
        ("clusters = 6", "clusters = 1", ["sampling.clusters", "2"]),
        ("clusters = 6", "clusters = 6\nsamplers = 0", ["sampling.samplers", "greater than 0"]),
        (
            "clusters = 6",
            "clusters = 6\nsamplers = 21",
            [
                "20 days of high.generate_days are too few for 21 samplers",
                "lower sampling.samplers",
            ],
        ),
        ("epochs = 20", "epochs = 0", ["training.first.epochs"]),
        ("[high]", "[high", ["TOML"]),
        ("[low]", "[low]\ninference = 'gpu'", ["low.inference", "'store' or 'in-process'"]),
        ("memory_mb = 512", "shards = 2", ["'store'", "neither 1 nor 3 or more"]),
        ("memory_mb = 512", "user = 'me'", ["'store'", "add its address"]),
        ("memory_mb = 512", "memory_mb = 1\naddress = 'h:1'", ["'store'", "remove one of them"]),
        ("memory_mb = 512", "address = 'h'", ["'store'", "neither unix://PATH nor HOST:PORT"]),
        ("memory_mb = 512", "listen = 'network'\npassword = false", ["must have a password"]),
        ("[store]", "[provenance]\nuser = 'me'\n[store]", ["user goes with postgresql: add it"]),
        ("[store]", "[provenance]\npostgresql = 'h/d'\n[store]", ["'provenance.postgresql'"]),
        ("[store]", "[provenance]\nremote = 'x'\n[store]", ["'provenance.remote' = 'x'"]),
        (
            "[store]",
            "[provenance]\nremote = '/x'\nendpoint = 'http://h'\n[store]",
            ["'provenance'", "a remote that begins with s3://"],
        ),
    ],
)
def test_a_mistake_is_named_in_one_sentence(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(UsageError) as raised:
        experiment.load(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


STEP = "grid = [{}]\ntime_step = 1800.0\nlayout = [1, {}]\ndays = 9\n"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("60, 80", 3)], ["high.spinup.0", "80 cells in y", "3 ranks"]),
        ([("60, 60", 2)], ["'high'", "60 by 60 cells to 120 by 160", "whole number of times"]),
        ([("80, 160", 2)], ["80 by 160 cells to 120 by 160"]),
        ([("90, 120", 2)], ["90 by 120 cells to 120 by 160"]),
        ([("120, 160", 2), ("120, 160", 4)], ["120 by 160 cells to 120 by 160"]),
        ([("60, 80", 2), ("30, 40", 2)], ["60 by 80 cells to 30 by 40", "the coarsest first"]),
        ([("60, 80", "2]\ndayz = [1")], ["high.spinup.0.dayz", "did you mean 'days'?"]),
    ],
)
def test_coarser_grids_that_do_not_fit_are_named(
    tmp_path: Path, steps: list[tuple[str, int | str]], words: list[str]
) -> None:
    text = "".join("[[high.spinup]]\n" + STEP.format(*step) for step in steps)
    path = edited(tmp_path, "[low]", text + "[low]")
    with pytest.raises(UsageError) as raised:
        experiment.load(path)
    for word in words:
        assert word in str(raised.value)


def test_the_paper_s_case_is_spun_up_on_three_grids_of_one_domain(tmp_path: Path) -> None:
    paper = experiment.load(CONFIGS / "paper.toml")
    grids = paper.high.spinup_grids
    assert [grid.grid for grid in grids] == [(60, 80), (120, 160), (240, 320), (240, 320)]
    assert [grid.spacing for grid in grids] == [20e3, 10e3, 5e3, 5e3]
    assert [grid.ranks for grid in grids] == [2, 2, 2, 24]
    assert grids[-1] == paper.high
    assert paper.low.spinup_grids == [paper.low]
    path = tmp_path / "again.toml"
    path.write_text(tomlkit.dumps(paper.model_dump(mode="json", exclude_none=True)))
    assert experiment.load(path) == paper


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        experiment.load(tmp_path / "none.toml")


def test_a_store_that_runs_already_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = edited(tmp_path, "memory_mb = 512", "address = 'h:1,h:2'\nuser = 'me'")
    loaded = experiment.load(path)
    assert loaded.store.running is not None
    assert loaded.store.running.user == "me"
    path.write_text(tomlkit.dumps(loaded.model_dump(mode="json", exclude_none=True)))
    assert experiment.load(path) == loaded
