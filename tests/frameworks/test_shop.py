"""The saga that the examples carry out."""

from __future__ import annotations

import importlib.util
from collections import Counter

from automa.testing import DictWorld, explore
from tests.frameworks.conftest import EXAMPLES


def test_the_saga_of_the_examples_stands_it_all(tmp_path, monkeypatch):
    """Crashed, failed, cancelled and undone everywhere, what stands of an order is what its books should tell."""
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_SECONDS", "0")
    spec = importlib.util.spec_from_file_location("example_shop", EXAMPLES / "shop.py")
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)

    class Books(DictWorld):
        def reset(self):
            (shop.FOLDER / "books.jsonl").unlink(missing_ok=True)

        def snapshot(self):
            done = Counter(line["what"] for line in shop.books())
            back = {
                "goods put back": "goods reserved",
                "card refunded": "card charged",
                "carrier called off": "carrier called",
            }
            for undone, what in back.items():
                done[what] -= done.pop(undone, 0)
            if not done["carrier called"]:  # what was called off is not fetched
                del done["parcel fetched"]
            return dict(+done)

    exploration = explore(lambda: shop.order, Books(), state={"country": "Austria"})
    assert exploration.ok, str(exploration)
    assert len(exploration.cases) > 30
