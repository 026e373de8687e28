"""A real Chromium, which asks no other host."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
if CHROMIUM is None:
    warnings.warn(
        "NO CHROMIUM INSTALLED: the browser tests are skipped; install Debian's package `chromium`",
        stacklevel=1,
    )
needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM INSTALLED"),
]


@contextmanager
def chromium(width: int = 1400, height: int = 900) -> Iterator[BrowserContext]:
    """Yield a browser with an empty profile and a window of so many pixels."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=QUIET,
            headless=True,
            viewport={"width": width, "height": height},
        )
        yield context
        context.close()
