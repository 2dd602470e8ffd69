"""Headless Chromium, used by its command line alone: what it makes of a page, as it measures it."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
PACKAGE = "needs a Chromium: install Debian's package chromium (apt-get install chromium)"
MEASURE = (Path(__file__).parent / "measure.js").read_text("utf-8")

_OUTER = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0 }}</style>
<iframe id="page" src="{page}" style="border: 0; width: {width}px; height: 900px"></iframe>
<pre id="measured"></pre>
<script>
addEventListener("message", (event) => {{
  document.getElementById("measured").textContent = event.data;
}});
</script>"""
"""The page stands in a frame, whose width its media queries see: a window is never as narrow as a
phone."""


def required() -> bool:
    """Whether a missing Chromium is a failure: in continuous integration, where it is installed."""
    return os.environ.get("FUNCTOK_BROWSER") == "required"


def measured(page: Path, width: int, place: Path, dark: bool = False) -> dict[str, Any]:
    """What the page looks like, see ``measure.js``.

    Args:
        page: the file; a copy with the measuring script in it is opened.
        width: of the frame, in pixels.
        place: a new folder for the copy and the browser's profile.
        dark: whether the page is asked for dark colours.
    """
    assert CHROMIUM is not None, PACKAGE
    place.mkdir()
    (place / "page.html").write_text(_with_script(page.read_text("utf-8")), "utf-8")
    outer = place / "outer.html"
    outer.write_text(_OUTER.format(page="page.html", width=width), "utf-8")
    command = [
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={place / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        *("--window-size=1440,1000", "--virtual-time-budget=120000", "--dump-dom"),
        outer.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    assert found[1], f"nothing was measured: {done.stderr[-2000:]}"
    return json.loads(html.unescape(found[1]))


def _with_script(page: str) -> str:
    """The page with the measuring script first, which its policy allows."""
    digest = base64.b64encode(hashlib.sha256(MEASURE.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    head, rest = allowed.split("<title>", 1)
    return f"{head}<script>{MEASURE}</script><title>{rest}"
