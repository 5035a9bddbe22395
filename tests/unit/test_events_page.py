"""docs/events.html is one file: a browser shows it, on a phone too, and asks nobody anything."""

import re
from pathlib import Path
from typing import Any

import pytest

from klankbord_schemas import EVENTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "events.html"
CHROMIUM = Path("/usr/bin/chromium")
LOADED = re.compile(r"""<(?:script|img|link|iframe)|\ssrc=|url\(|@import""", re.IGNORECASE)


def test_nothing_in_it_is_loaded_from_anywhere() -> None:
    text = PAGE.read_text("utf-8")
    assert LOADED.findall(text) == []
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_every_link_leads_to_a_file_that_is_there_or_a_place_in_the_page() -> None:
    text = PAGE.read_text("utf-8")
    links = re.findall(r'href="([^"]+)"', text)
    assert len(links) > 3 * len(EVENTS)
    for link in links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text
        else:
            assert (PAGE.parent / link).exists(), link


@pytest.mark.system
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
async def test_a_browser_shows_it_and_asks_nobody(scheme: Any, width: int) -> None:
    if not CHROMIUM.exists():
        pytest.skip("no chromium here; `make setup-system` installs it")
    from playwright.async_api import async_playwright

    console: list[str] = []
    requested: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = await browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.on("console", lambda message: console.append(message.text))
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(PAGE.as_uri())
        page_width = await page.evaluate("document.documentElement.scrollWidth")
        headings = await page.locator("h2").all_inner_texts()
        await browser.close()
    assert page_width == width
    assert len(headings) == len(EVENTS) + 2
    assert console == []
    assert requested == [PAGE.as_uri()]
