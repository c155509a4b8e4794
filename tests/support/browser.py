"""A headless Chromium for pages that this project writes: what a browser makes of them, and how they look.

The program is the system's, or Debian's package unpacked into the cache: nothing is installed. Without either a test is
skipped, and fails in CI: there a skip must not pass for a result. Pages come from files, and nothing is loaded by them.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from keyctl.lab.build import cache_root
from tests.support.debian import debian_packages, do_without

_PACKAGE = "chromium-headless-shell"
_PROGRAMS = (_PACKAGE, "chromium", "chrome-headless-shell", "google-chrome")
_PATIENCE = 120.0
# What a probe leaves in the page stands between these.
_BEGIN, _END = "probed-begin", "probed-end"


@dataclass(frozen=True, slots=True)
class Browser:
    """A `program` that is started anew for each page, with `libraries` that the machine may lack."""

    program: Path
    libraries: str

    def probed(self, page: str, probe: str, directory: Path, *, width: int, dark: bool) -> object:
        """What `probe`, a JavaScript expression, says of `page` when it stands in a window of `width` pixels.

        The policy of the page stays as it is, but for the probe's own script.
        """
        assert "default-src 'none'" in page
        assert "</body>" in page
        script = f"document.title='{_BEGIN}'+JSON.stringify({probe})+'{_END}'"
        page = page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
        file = directory / f"probed-{width}-{dark}.html"
        file.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
        told = self._run("--dump-dom", file, width, dark=dark)
        head, found, rest = told.partition(_BEGIN)
        assert found, f"the probe said nothing: {head[:400]}"
        said: object = json.loads(_unescaped(rest.partition(_END)[0]))
        return said

    def _run(self, what: str, file: Path, width: int, *, dark: bool) -> str:
        # NOTE: root has no sandbox to go into, and not every user has one; the page is our own, from a file.
        command = [str(self.program), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--disable-dev-shm-usage", f"--window-size={width},900"]
        command += [f"--blink-settings=preferredColorScheme={int(not dark)}", what]
        env = os.environ | {"LD_LIBRARY_PATH": self.libraries} if self.libraries else os.environ.copy()
        with tempfile.TemporaryDirectory() as profile:
            command += [f"--user-data-dir={profile}", file.as_uri()]
            done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=_PATIENCE, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@functools.cache
def browser() -> Browser:
    """The browser there is. Skips, or in CI fails, the test where there is none."""
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return Browser(Path(found), "")
    unpacked = debian_packages(_PACKAGE, _needed())
    if unpacked is None:
        do_without("no Chromium here, and no Debian package to be had: apt-get install chromium-headless-shell")
    place = unpacked / "usr" / "lib" / "chromium"
    libraries = sorted({str(one.parent) for one in (unpacked / "usr" / "lib").rglob("*.so*")})
    return Browser(place / _PACKAGE, ":".join(libraries))


def _needed() -> tuple[str, ...]:
    """The package and what it needs that this machine has not, as apt would install them."""
    if (cache_root().parent / "debian" / _PACKAGE).exists() or shutil.which("apt-get") is None:
        return (_PACKAGE,)
    # NOTE: lists that are older than the newest security update name files that are gone. Only root may renew them.
    subprocess.run(["apt-get", "update", "-q"], capture_output=True, timeout=_PATIENCE, check=False)
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", "-q", _PACKAGE]
    told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False).stdout
    return tuple(line.split()[1] for line in told.splitlines() if line.startswith("Inst ")) or (_PACKAGE,)


def _unescaped(text: str) -> str:
    """Text of a title as it stands in a dump of the page."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
