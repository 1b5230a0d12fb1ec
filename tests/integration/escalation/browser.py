"""A real browser for the page behind a link: Chromium on a phone's screen, without scripts, on the real server.

Where there is none, its tests are skipped with what to install; DESKCLOCK_TEST_BROWSER=required makes that a failure.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from shared.runtime import http
from tests.integration.escalation.links import app_of

REQUIRED = "DESKCLOCK_TEST_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_AUDIT = (Path(__file__).parent / "audit.js").read_text()


def program() -> str:
    """Where Chromium is; skips the test where there is none, or fails it where one is required."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        said = "no browser is installed: it comes with the package `chromium`"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(said)
        pytest.skip(said)
    return found


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A running browser."""
    path = program()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield browser
        await browser.close()


class Phone:
    """One person's screen: no scripts, no other network than ours."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    async def open(self, path: str) -> None:
        """Follow a link."""
        await self.page.goto(f"{self._address}{path}")

    async def press(self, name: str) -> None:
        """Touch a button by what it says."""
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name=name).tap()

    async def press_by_key(self, name: str) -> None:
        """Reach a button by the Tab key alone, see that it shows where the focus is, and press Enter."""
        for _ in range(10):
            await self.page.keyboard.press("Tab")
            focused = self.page.locator(":focus-visible")
            if await focused.count() and name in await focused.inner_text():
                outline = await focused.evaluate("one => getComputedStyle(one).outlineWidth")
                assert "3px" == outline
                async with self.page.expect_navigation():
                    await self.page.keyboard.press("Enter")
                return
        raise AssertionError(f"no button {name!r} can be reached by the Tab key")

    async def status(self) -> str:
        """What came of the last press."""
        return await self.page.get_by_role("status").inner_text()

    async def heading(self) -> str:
        """What the page is about."""
        return await self.page.get_by_role("heading", level=1).inner_text()

    async def buttons(self) -> list[str]:
        """What can be pressed."""
        return await self.page.get_by_role("button").all_inner_texts()

    async def text(self) -> str:
        """All that stands on it."""
        return await self.page.get_by_role("main").inner_text()

    async def faults(self) -> list[str]:
        """What would keep somebody from reading or using the page as it stands, in light and in dark and with large letters."""
        found: list[str] = []
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [f"{scheme}: {fault}" for fault in await self.page.evaluate(_AUDIT)]
        await self.page.evaluate("document.documentElement.style.fontSize = '200%'")
        found += [f"large letters: {fault}" for fault in await self.page.evaluate(_AUDIT)]
        await self.page.evaluate("document.documentElement.style.fontSize = ''")
        await self.page.emulate_media(color_scheme="light")
        return found


@asynccontextmanager
async def serving(world: Any) -> AsyncIterator[str]:
    """The application of a world on a real socket; its address."""
    listening = http.bind("127.0.0.1", 0, setting="none")
    port = listening.getsockname()[1]
    stop = asyncio.Event()
    serve = asyncio.create_task(http.serve(app_of(world), listening, stop=stop))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await serve


@asynccontextmanager
async def phone(browser: Browser, address: str, width: int = 320) -> AsyncIterator[Phone]:
    """A new person with a phone of this width."""
    context = await browser.new_context(
        java_script_enabled=False, viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True
    )
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.set_default_timeout(5_000)
    page = await context.new_page()
    try:
        yield Phone(page, address)
    finally:
        await context.close()
    assert [] == [url for url in asked if not url.startswith(f"{address}/v1/ack/")]
