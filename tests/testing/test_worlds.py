"""Worlds, and how they are compared."""

from __future__ import annotations

import contextlib

import pytest

from automa.testing import DictWorld, DirectoryWorld, SqliteWorld, World, differences


def test_the_ready_worlds_are_worlds():
    """Each ready world satisfies the protocol."""
    assert all(isinstance(each, World) for each in (DictWorld(), DirectoryWorld(), SqliteWorld("")))


def test_a_dict_world_begins_anew_at_each_reset():
    """What was changed deep inside is gone after a reset, and a snapshot does not change afterwards."""
    world = DictWorld({"a": {"b": [1]}})
    world.data["a"]["b"].append(2)
    before = world.snapshot()
    world.data["a"]["b"].append(3)
    assert before == {"a": {"b": [1, 2]}}
    world.reset()
    assert world.snapshot() == {"a": {"b": [1]}}


def test_a_directory_world_tells_all_that_is_in_its_folder():
    """A snapshot has texts, folders, links, the hash of what is no text; a reset leaves what was there first."""
    world = DirectoryWorld({"etc/motd": "hi", "var": None, "raw": b"\xff"})
    first = world.snapshot()
    assert first["etc/motd"] == "hi"
    assert first["var/"] is None
    assert first["raw"].startswith("1 bytes, sha256 a8100ae6")
    (world.path / "link").symlink_to("etc/motd")
    (world.path / "var" / "deep").mkdir()
    (world.path / "etc" / "motd").write_text("changed")
    assert [str(each) for each in differences(first, world.snapshot())] == [
        "etc/motd: 'hi' → 'changed'",
        "link: nothing → '-> etc/motd'",
        "var/deep/: nothing → None",
    ]
    world.reset()
    assert world.snapshot() == first


def test_a_directory_world_tells_permissions_if_asked():
    """With modes=True a changed permission is a difference."""
    world = DirectoryWorld({"run.sh": "true"}, modes=True)
    before = world.snapshot()
    (world.path / "run.sh").chmod(0o700)
    assert [each.where for each in differences(before, world.snapshot())] == ["run.sh.mode"]


def test_a_world_does_not_delete_what_somebody_else_has(tmp_path):
    """A folder with something in it, or a database that is there, is refused and stays as it is."""
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        DirectoryWorld(path=tmp_path)
    with pytest.raises(ValueError, match="is there already"):
        SqliteWorld("", path=tmp_path / "precious")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_directory_world_may_have_a_folder_of_the_test(tmp_path):
    """A path that is empty, or not there yet, is used."""
    world = DirectoryWorld({"a": "1"}, path=tmp_path / "new")
    assert (tmp_path / "new" / "a").read_text() == "1"
    assert world.snapshot() == {"a": "1"}


@pytest.mark.parametrize("schema", ["", "CREATE TABLE t (x INTEGER PRIMARY KEY AUTOINCREMENT, y)"])
def test_a_database_begins_anew_while_somebody_is_connected(schema):
    """A reset takes back tables and rows, also under a connection that stays open."""
    world = SqliteWorld(schema)
    first = world.snapshot()
    with contextlib.closing(world.connect()) as database:
        with database:
            database.execute("CREATE TABLE more (z)")
            database.execute("INSERT INTO more VALUES ('b'), ('a')")
        assert world.snapshot()["more"] == [{"z": "a"}, {"z": "b"}]
        world.reset()
        assert world.snapshot() == first
        with database:
            database.execute("CREATE TABLE more (z)")
    assert world.snapshot() == {**first, "more": []}


def test_differences_tell_where_and_what():
    """Dicts are compared deeply, other values whole; 1 is not True; long values are cut in text."""
    assert differences({"a": 1}, {"a": 1}) == []
    assert [str(each) for each in differences({"a": 1}, {"a": True})] == ["a: 1 → True"]
    assert [str(each) for each in differences([1], [1, 2])] == ["the world: [1] → [1, 2]"]
    assert len(str(differences("", "x" * 1000)[0])) < 140
