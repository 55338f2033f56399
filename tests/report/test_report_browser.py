"""The page in a browser: its one script runs under its own security policy, nothing complains, and it prints."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ctrobust.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# In `make test` where there is one. Where there is none `make soak` says so, and fails.
pytestmark = [] if CHROMIUM else [pytest.mark.soak]

Browse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Browse:
    """`browse(page, "--dump-dom")`: Chromium with a profile of its own, without a window and without a network."""
    assert CHROMIUM, "Chromium is absent; Debian has it in chromium"
    profile = tmp_path_factory.mktemp("profile")
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    offline = ("--proxy-server=127.0.0.1:9", "--disable-background-networking")

    def opened(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [CHROMIUM, *quiet, *offline, f"--user-data-dir={profile}", "--enable-logging=stderr"]
        return subprocess.run(
            [*command, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )

    return opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return write_report([write_run(folder / "erm", "erm", slices=1)], folder / "out")


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What scripts, style sheets and the content security policy had to say."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_script_runs_and_nothing_complains(page: Path, browse: Browse) -> None:
    done = browse(page, "--dump-dom")
    assert complaints(done) == []
    assert re.search(r"<html[^>]* class=\"live\"", done.stdout)
    # What only the script writes: how far the light box is wiped, and which button that is.
    assert re.search(r"id=\"light-box\"[^>]* style=\"--wipe: 100%;?\"", done.stdout)
    assert done.stdout.count('aria-pressed="true"') == 1


def test_a_script_that_is_not_ours_is_refused(page: Path, browse: Browse, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace("// Marks that", "// marks that"))
    done = browse(changed, "--dump-dom")
    assert any("Content Security Policy" in line for line in complaints(done))
    assert 'class="live"' not in done.stdout


def test_it_prints(page: Path, browse: Browse, tmp_path: Path) -> None:
    browse(page, f"--print-to-pdf={tmp_path / 'page.pdf'}")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
