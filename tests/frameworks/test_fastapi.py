"""The example of a web server: uvicorn as a process, which is killed."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("fastapi", reason="the examples of frameworks need: pip install -e '.[frameworks]'")
httpx = pytest.importorskip("httpx", reason="the examples of frameworks need: pip install -e '.[frameworks]'")
pytest.importorskip("uvicorn", reason="the examples of frameworks need: pip install -e '.[frameworks]'")

from tests.frameworks.conftest import ALL_DONE  # noqa: E402  # without the packages there is nothing to test

HOME = {"country": "Austria"}


class Server:
    """A server on a socket in a folder, and a client of it."""

    def __init__(self, shop, socket, seconds=0.0):
        self.process = shop.start("uvicorn", "fastapi_shop:app", "--uds", str(socket), seconds=seconds)
        self.shop = shop
        self.client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://shop")
        shop.until(lambda: "Uvicorn running" in self.process.log.read_text(), "up")

    def stands(self, order_id):
        return self.client.get(f"/orders/{order_id}").json()["stands"]

    def until_stands(self, order_id, stands):
        self.shop.until(lambda: self.stands(order_id) == stands, stands)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


@pytest.fixture
def socket(tmp_path_factory):
    return tmp_path_factory.mktemp("s") / "s"  # the name of a socket is short


def test_an_order_outlives_the_server_that_took_it(shop, socket):
    """Killed with -9 in the middle of a step, the server goes on with the order once it is up again, by itself."""
    with Server(shop, socket, seconds=250) as server:
        assert server.client.put("/orders/o-1", json=HOME).json()["stands"] == "on its way"
        shop.until_booked("o-1", "carrier called")
        shop.kill(server.process)
    assert "parcel fetched" not in shop.booked("o-1")
    with Server(shop, socket) as server:
        server.until_stands("o-1", "succeeded")
    assert shop.booked("o-1") == ALL_DONE
    assert shop.calls("o-1") == {"run reserve": 1, "run charge": 1, "run ship": 2, "run tell": 1}


def test_orders_are_taken_once_and_undone_where_they_fail(shop, socket):
    """Sent twice an order is one; one that fails is undone; wrong ids are refused; one that is there may be cancelled."""
    with Server(shop, socket) as server:
        client = server.client
        assert client.put("/orders/o-1", json=HOME).status_code == 202
        assert client.put("/orders/o-1", json=HOME).status_code == 202
        server.until_stands("o-1", "succeeded")
        assert shop.booked("o-1") == ALL_DONE
        client.put("/orders/o-2", json={"country": "nowhere"})
        server.until_stands("o-2", "undone")
        assert shop.booked("o-2") == ["goods reserved", "card charged", "card refunded", "goods put back"]
        assert client.get("/orders/o-3").status_code == 404
        assert client.post("/orders/o-3/cancel").status_code == 404
        assert client.put("/orders/-", json=HOME).status_code == 422
        assert client.post("/orders/o-1/cancel").status_code == 202
        server.until_stands("o-1", "undone")
        assert client.post("/orders/o-1/cancel").status_code == 409
        assert shop.booked("o-1")[5:] == ["carrier called off", "card refunded", "goods put back"]


def test_an_order_on_its_way_is_cancelled(shop, socket):
    """Cancelled while the carrier is on the way, an order is undone once that step has ended."""
    with Server(shop, socket, seconds=1) as server:
        server.client.put("/orders/o-1", json=HOME)
        shop.until_booked("o-1", "carrier called")
        assert server.client.post("/orders/o-1/cancel").status_code == 202
        server.until_stands("o-1", "undone")
    assert shop.booked("o-1") == [*ALL_DONE[:4], "carrier called off", "card refunded", "goods put back"]


def test_a_server_that_is_stopped_lets_the_step_at_work_end(shop, socket):
    """Told to stop it ends in order, after the step at work, and the next one goes on with what is left."""
    with Server(shop, socket, seconds=1) as server:
        server.client.put("/orders/o-1", json=HOME)
        shop.until_booked("o-1", "carrier called")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
        log = server.process.log.read_text()
    assert "Application shutdown complete" in log
    assert shop.booked("o-1") == ALL_DONE[:4]
    with Server(shop, socket) as server:
        server.until_stands("o-1", "succeeded")
    assert shop.calls("o-1")["run ship"] == 1
