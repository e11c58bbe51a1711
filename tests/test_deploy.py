"""What deploy/ has is what the command takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.test_run import automa

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*/compose.yaml")), ids=lambda path: path.parent.name)
def test_a_compose_file_starts_workers_with_options_that_there_are(path):
    """Each worker of a compose file is built from the image here, and gets options that `automa worker` has."""
    services = yaml.safe_load(path.read_text())["services"]
    worker = services["worker"]
    assert (path.parent / worker["build"]["context"]).resolve() == ROOT
    assert (ROOT / worker["build"]["dockerfile"]).exists()
    assert set(worker["depends_on"]) == set(services) - {"worker"}
    helped = automa("worker", "--help").stdout
    for option in (part.partition("=")[0] for part in worker["command"] if part.startswith("--")):
        assert option in helped


def test_the_image_has_what_the_package_is_built_of():
    """The image copies all that the build of the package reads."""
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert all((ROOT / name).exists() for name in names)
    assert {"pyproject.toml", "README.md", "LICENSE", "src"} <= set(names)


SYSTEMD = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not on this machine")
@pytest.mark.parametrize("path", sorted(DEPLOY.glob("systemd/*.service")), ids=lambda path: path.name)
def test_a_unit_is_one_that_systemd_takes(path):
    """Systemd finds nothing wrong with a unit, but that its command is not on this machine."""
    done = subprocess.run([SYSTEMD, "verify", path], capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if "is not executable: No such file" not in line]
    assert said == []


def test_every_file_of_deploy_is_told_of():
    """The page of deploy/ names each file."""
    told = (DEPLOY / "README.md").read_text()
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "README.md"]
    assert [path.name for path in files if f"`{path.relative_to(DEPLOY)}`" not in told] == []
