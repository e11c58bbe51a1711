"""Three machines made side by side: all or none.

Run it::

    python examples/provision.py
"""

from __future__ import annotations

import sys
import threading
import time

from automa import Context, Parallel, Retry, Step, Workflow


class Cloud:
    """A provider of machines in miniature."""

    def __init__(self, room: int, seconds: float = 0.05) -> None:
        self.room, self.seconds = room, seconds
        self.machines: dict[str, str] = {}
        self._lock = threading.Lock()  # branches work in threads of their own

    def create(self, name: str, size: str) -> str:
        """Make a machine, where there is room; one that is there is found again."""
        time.sleep(self.seconds)
        with self._lock:
            if name not in self.machines and len(self.machines) >= self.room:
                raise RuntimeError(f"no room for {name}")
            self.machines[name] = size
            return f"10.0.0.{len(self.machines)}"

    def delete(self, name: str) -> None:
        """Take a machine away, if it is there."""
        self.machines.pop(name, None)


class Machine(Step):
    """A machine; taken back, it is deleted."""

    undo_retry = Retry(attempts=5)

    def saga_run(self, ctx: Context) -> str:
        """Make it, and return its address."""
        address: str = ctx.resources["cloud"].create(self.id, ctx.shared["size"])
        ctx.record_effect("machine", self.id, address=address)
        return address

    def saga_undo(self, ctx: Context) -> None:
        """Delete it, or find that it was never made."""
        ctx.resources["cloud"].delete(self.id)


def balance(ctx: Context) -> str:
    """Point the load balancer at all of the machines."""
    return ", ".join(sorted(ctx.results["machines"].values()))


cluster = Workflow(
    "cluster",
    [
        Step("network", run=lambda: "10.0.0.0/24", undo=lambda: None),
        Parallel("machines", Machine("web-1"), Machine("web-2"), Machine("web-3"), limit=2),
        Step("balance", run=balance),
    ],
)


def main() -> int:
    """Make a cluster where there is room, then one where there is not."""
    left = []
    for room in (3, 2):
        cloud = Cloud(room)
        report = cluster.start({"size": "small"}, resources={"cloud": cloud})
        print(f"Room for {room} machines\n{report}")
        print(f"  balanced over: {report.results.get('balance', 'nothing')}\n")
        left.append(len(cloud.machines))
    print(f"machines left: {', '.join(map(str, left))}")
    return 0 if left == [3, 0] else 1


if __name__ == "__main__":
    sys.exit(main())
