from __future__ import annotations

from pathlib import Path

import pytest

from parslflow.watch import Waiting

from .parsl_program import told_by

DEAD = """
with guarding(), parsl.load(site.parsl) as kernel, watching(kernel):
    tasks = [python_app(nap, executors=[label])(100.0) for label in ("training", "sampling")]
    # Before any block has started, after which Parsl would start none.
    os.kill(kernel.executors["training"].interchange_proc.pid, signal.SIGKILL)
    began = time.monotonic()
    tell_errors(tasks)
    assert time.monotonic() - began < 10
"""


def test_waiting_is_told_after_one_two_four_and_eight_minutes() -> None:
    waiting = Waiting()
    told = [second for second in range(1000) if waiting.minutes(True, 50.0 + second)]
    assert told == [60, 120, 240, 480, 960]


def test_waiting_begins_anew_after_work() -> None:
    waiting = Waiting()
    assert waiting.minutes(True, 0.0) == 0
    assert waiting.minutes(True, 61.0) == 1
    assert waiting.minutes(False, 62.0) == 0
    assert waiting.minutes(True, 63.0) == 0
    assert waiting.minutes(True, 122.0) == 0
    assert waiting.minutes(True, 123.0) == 1


@pytest.mark.timeout(150)
def test_all_tasks_fail_when_an_interchange_has_died(tmp_path: Path) -> None:
    said = told_by(DEAD, tmp_path)
    told = said.splitlines()
    assert len(told) == 2
    for sentence in told:
        assert "interchange of the executor 'training' (process" in sentence
        assert "ended with code -9" in sentence


SENT_LATE = """
with guarding(), parsl.load(site.parsl) as kernel, watching(kernel):
    assert python_app(nap, executors=["sampling"])(0.0).result(timeout=60) == 0.0
    process = kernel.executors["training"].interchange_proc
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    # One thread of Parsl sends them all.
    tasks = [python_app(nap, executors=[label])(0.0) for label in ("training", "sampling")]
    began = time.monotonic()
    tell_errors(tasks)
    assert time.monotonic() - began < 20
# Parsl would leave them to themselves.
jobs = [job for one in site.parsl.executors for job in one.provider.resources.values()]
assert jobs and all("cancelled" in job for job in jobs)
"""


@pytest.mark.timeout(150)
def test_a_task_that_is_sent_to_a_dead_interchange_fails(tmp_path: Path) -> None:
    told = told_by(SENT_LATE, tmp_path).splitlines()
    assert len(told) == 2
    for sentence in told:
        assert "interchange of the executor 'training' (process" in sentence


ELASTIC = """
watch.IDLE_SECONDS = 2.0
simulation = sites.executor(site, "simulation")
simulation.provider.max_blocks = 2
with guarding(), parsl.load(site.parsl) as kernel, watching(kernel):
    task = python_app(nap, executors=["simulation"])
    both = [task(10.0), task(10.0)]
    assert [one.result(timeout=60) for one in both] == [10.0, 10.0]
    long = task(30.0)
    began = time.monotonic()
    while True:
        states = [status.state for status in simulation.status_facade.values()]
        if JobState.SCALED_IN in states:
            break
        assert time.monotonic() - began < 25, states
        time.sleep(0.2)
    assert states.count(JobState.RUNNING) == 1
    assert long.result(timeout=60) == 30.0
    # Another is asked for when there is work for two.
    assert [one.result(timeout=60) for one in (task(8.0), task(8.0))] == [8.0, 8.0]
    print(len(simulation.status_facade))
"""


@pytest.mark.timeout(150)
def test_a_block_without_work_is_given_back_while_another_works(tmp_path: Path) -> None:
    said = told_by(ELASTIC, tmp_path)
    assert int(said) >= 3


HELPLESS = """
def parent():
    import os
    return os.getppid()

with guarding(), parsl.load(site.parsl) as kernel, watching(kernel):
    pool = python_app(parent, executors=["training"])().result(timeout=60)
    command = ["ps", "-ww", "--ppid", str(pool), "-o", "pid=", "-o", "args="]
    children = subprocess.check_output(command, text=True).splitlines()
    # The helper starts before the workers.
    helper = min(int(line.split()[0]) for line in children if "spawn_main" in line)
    lasting = python_app(nap, executors=["training"])(100.0)
    os.kill(helper, signal.SIGKILL)
    began = time.monotonic()
    try:
        lasting.result(timeout=60)
    except Exception as error:
        print(type(error).__name__)
    assert time.monotonic() - began < 60
"""


@pytest.mark.timeout(150)
def test_a_pool_that_has_lost_its_helper_ends(tmp_path: Path) -> None:
    """By itself it would log an error for ever, and its tasks would never end."""
    said = told_by(HELPLESS, tmp_path)
    assert said in ("BadStateException\n", "ManagerLost\n")
