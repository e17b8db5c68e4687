"""A real browser for tests: Chromium, as the system has it. It is started once for a module; its pages keep a list of
what went wrong in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip


@dataclass
class Page:
    """One page, with what its console said and what it asked any network for."""

    tab: Any
    trouble: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.on("console", lambda said: self.trouble.append(f"{said.type}: {said.text}"))
        self.tab.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.tab.on("request", lambda request: self.asked.append(request.url))

    def text(self, selector: str) -> str:
        """Of the first element."""
        return self.tab.locator(selector).first.inner_text()

    def waits_for(self, selector: str, text: str) -> None:
        """Until an element has the text."""
        self.tab.locator(selector, has_text=text).first.wait_for(timeout=15_000)

    @property
    def remote(self) -> list[str]:
        """What it asked for beyond its own file."""
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]


@dataclass
class Browser:
    """Makes pages."""

    chromium: Any

    @contextmanager
    def page(self, address: str, width: int = 1280, height: int = 800, theme: str = "light") -> Iterator[Page]:
        """An address, opened."""
        context = self.chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        try:
            page = Page(context.new_page())
            page.tab.goto(address)
            yield page
        finally:
            context.close()


@contextmanager
def started() -> Iterator[Browser]:
    """Skips, with the reason, where there is no browser."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (it is in the dev extra)")
    named = os.environ.get("LMMS_FAST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed (Debian: apt-get install chromium); "
                    "LMMS_FAST_CHROMIUM names one that is elsewhere")  # fmt: skip
    with api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        except api.Error as error:
            pytest.skip(f"{found} does not start: {str(error).splitlines()[0]}")
        yield Browser(chromium)
        chromium.close()
