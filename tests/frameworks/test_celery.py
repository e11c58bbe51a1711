"""The example of a queue: a worker of Celery as a process, which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("celery", reason="the examples of frameworks need: pip install -e '.[frameworks]'")

from tests.frameworks.conftest import ALL_DONE, EXAMPLES


def worker(shop, *, seconds=0.0, concurrency=1):
    """Start a worker, and wait until it takes tasks."""
    started = shop.start(
        "celery", "-A", "celery_shop", "worker", "-l", "INFO", "--concurrency", str(concurrency),
        seconds=seconds,
    )  # fmt: skip
    shop.until(lambda: " ready." in started.log.read_text(), "ready")
    return started


def client(shop, code):
    """Run code as whoever places orders; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"from celery_shop import place\n{code}"],
        cwd=EXAMPLES, env=shop.environment(), capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


SEND = "sent = place.delay('o-1', {'country': 'Austria'})\n"


def test_an_order_that_is_delivered_twice_is_one(shop):
    """A task that comes again after its end does nothing again, and says the same; one that fails is undone."""
    worker(shop)
    assert client(shop, f"{SEND}print(sent.get(timeout=60))") == ["succeeded"]
    assert client(shop, f"{SEND}print(sent.get(timeout=60))") == ["succeeded"]
    assert shop.booked("o-1") == ALL_DONE
    undone = "print(place.delay('o-2', {'country': 'nowhere'}).get(timeout=60))"
    assert client(shop, undone) == ["undone"]
    assert shop.booked("o-2") == ["goods reserved", "card charged", "card refunded", "goods put back"]


def test_a_task_whose_process_is_killed_goes_on_where_it_was(shop):
    """Killed with -9 in the middle of a step, the task is delivered again, and carries on the same run."""
    worker(shop, seconds=1)
    client(shop, SEND)
    shop.until_booked("o-1", "carrier called")
    (pid,) = {line["pid"] for line in shop.books()}
    os.kill(pid, signal.SIGKILL)  # the process of the pool: a child of the worker that was started here
    shop.until_booked("o-1", "customer told")
    assert shop.booked("o-1") == ALL_DONE
    calls = shop.calls("o-1")
    assert (calls["run reserve"], calls["run charge"]) == (1, 1)


def test_a_task_that_is_delivered_while_it_is_at_work_waits(shop):
    """Delivered a second time meanwhile, a task does nothing, and looks again until the run has ended."""
    started = worker(shop, seconds=4, concurrency=2)
    client(shop, SEND)
    shop.until_booked("o-1", "carrier called")
    assert client(shop, f"{SEND}print(sent.get(timeout=60))") == ["succeeded"]
    assert "RunOwnedError" in started.log.read_text()
    assert shop.booked("o-1") == ALL_DONE
    assert shop.calls("o-1") == {"run reserve": 1, "run charge": 1, "run ship": 1, "run tell": 1}


def test_what_the_broker_has_forgotten_is_sent_again(shop):
    """Where the whole worker was killed, and its message is lost, the next worker goes on with the order all the same."""
    first = worker(shop, seconds=250)
    client(shop, SEND)
    shop.until_booked("o-1", "carrier called")
    shop.kill(first)
    worker(shop)
    shop.until_booked("o-1", "customer told")
    assert shop.booked("o-1") == ALL_DONE
    assert shop.calls("o-1") == {"run reserve": 1, "run charge": 1, "run ship": 2, "run tell": 1}
