"""What a release is made of agrees with itself: one version, the type information, the image's sources."""

import configparser
import re
from pathlib import Path

import yaml

import ctrobust

REPOSITORY = Path(__file__).resolve().parent.parent


def settings() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(REPOSITORY / "setup.cfg")
    return found


def test_the_version_stands_once() -> None:
    assert settings()["metadata"]["version"] == "attr: ctrobust.__version__"
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == ctrobust.__version__
    assert citation["license"] == settings()["metadata"]["license_expression"]


def test_types_are_shipped() -> None:
    for package, folder in (("ctrobust", "ctrobust"), ("ctrobust_datasets", "datasets")):
        assert "py.typed" in settings()["options.package_data"][package]
        assert (REPOSITORY / folder / "py.typed").exists()


def test_what_is_released_has_its_date() -> None:
    """Beside the version the same date in CHANGELOG and in CITATION.cff, or none yet in either."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) \((.+)\)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == citation["version"]
    assert newest[2] == str(citation.get("date-released", "unreleased"))


def test_the_site_is_built_with_every_change() -> None:
    assert "make docs" in (REPOSITORY / ".ci/run").read_text().splitlines()


def test_the_image_is_given_all_it_is_made_of() -> None:
    """.dockerignore lets nothing in but what it names."""
    let_in = set(re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))
    folders = re.findall(r"= (\w+)", settings()["options"]["package_dir"])
    copied = " ".join(
        re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    )
    assert {*folders, "LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= let_in
    assert {name for name in copied.split() if name != "."} <= let_in
    assert all((REPOSITORY / name).exists() for name in let_in)


def test_the_image_pins_what_it_installs_but_not_torch() -> None:
    """The base's own torch is kept: the line that leaves it out finds its pin."""
    assert re.search(r"^torch==", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert "sed -i '/^torch==/d' constraints.txt" in (REPOSITORY / "Dockerfile").read_text()
