"""A ticket is opened with the help desk; the undo closes it by the number of the result, so a lost answer leaves it open."""

from __future__ import annotations

from automa import Workflow, step

BUG = ("ticket", "undo_restores")
STATE = {"device": "printer-3"}


class HelpDesk:
    """A help desk that keeps one open ticket for a device."""

    in_memory = True

    def __init__(self):
        self.reset()

    def reset(self):
        self.tickets = {7: "printer-1"}
        self.away = []

    def snapshot(self):
        return {"tickets": sorted(self.tickets.values()), "away": list(self.away)}

    def open(self, device):
        for number, known in self.tickets.items():
            if known == device:
                return number
        number = max(self.tickets) + 1
        self.tickets[number] = device
        return number


def make_world():
    return HelpDesk()


def make_workflow(world):
    @step
    def ticket(ctx):
        return {"number": world.open(ctx.shared["device"])}

    @ticket.undo
    def close(ctx):
        if ctx.result is not None:
            world.tickets.pop(ctx.result["number"], None)

    @step
    def fetch(ctx):
        if ctx.shared["device"] not in world.away:
            world.away.append(ctx.shared["device"])

    @fetch.undo
    def bring_back(ctx):
        if ctx.shared["device"] in world.away:
            world.away.remove(ctx.shared["device"])

    return Workflow("repair", [ticket, fetch])
