"""A picture of the Community dashboard, of the demo's data: `make dashboard-picture`.

The panels are those of the committed JSON. PostgreSQL and Prometheus are asked what they ask, and
Chromium draws the answers with the components of @grafana/ui: no Grafana server runs.
"""

import argparse
import asyncio
import json
import math
import subprocess
import tempfile
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panels
from playwright.async_api import Route, async_playwright
from watched import Watched, watched_demo

ROOT = Path(__file__).parents[2]
RENDER = ROOT / "deploy" / "grafana" / "render"
UI = RENDER / "node_modules" / "@grafana" / "ui" / "dist" / "public"
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/picture.css">
<style>body { margin: 0 }</style><div id="root"></div>
<script src="/shown.js"></script><script src="/picture.js"></script>"""
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000.0
WIDTH = 1360


async def main() -> None:
    """Play the demo, ask, and draw."""
    parser = argparse.ArgumentParser(description="Draw a dashboard with the demo's data.")
    parser.add_argument("dashboard", choices=panels.DASHBOARDS)
    parser.add_argument("picture", type=Path, help="where to write the PNG")
    arguments = parser.parse_args()
    async with watched_demo() as demo:
        shown = await answered(arguments.dashboard, demo)
    await draw(shown, arguments.picture)
    print("wrote:", arguments.picture)


async def answered(dashboard: str, demo: Watched) -> dict[str, Any]:
    """The dashboard, and what is answered to each of its panels."""
    document = panels.read(dashboard)
    chosen = demo.chosen
    answers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    events: list[dict[str, Any]] = []
    numbers = {panel["title"]: panel["id"] for panel in document["panels"]}
    colours = {one["name"]: one["iconColor"] for one in document["annotations"]["list"]}
    for asked in panels.asked_by(dashboard):
        if asked.title in numbers:
            answers[numbers[asked.title]].append(await _answer(asked, demo))
        elif asked.title in colours:
            colour = colours[asked.title]
            happened = await demo.rows(asked)
            events += [{"time": row["time"].isoformat(), "colour": colour} for row in happened]
    return {
        "dashboard": document,
        "answers": answers,
        "events": events,
        "begin": chosen.begin.isoformat(),
        "end": chosen.end.isoformat(),
        "width": WIDTH,
    }


async def _answer(asked: panels.Asked, demo: Watched) -> dict[str, Any]:
    if asked.is_sql:
        rows = await demo.rows(asked)
        plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
        return {"kind": "rows", "format": asked.target["format"], "rows": plain}
    found = await demo.series(asked)
    return {
        "kind": "series",
        "refId": asked.target["refId"],
        "format": asked.target.get("format"),
        "legend": asked.target["legendFormat"],
        "series": [
            {
                "labels": dict(series.labels),
                "samples": [
                    (at, None if math.isnan(value) else value) for at, value in series.samples
                ],
            }
            for series in found
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _bundle(folder: str) -> None:
    subprocess.run(["node", "build.mjs", folder], cwd=RENDER, check=True)


async def draw(shown: dict[str, Any], picture: Path) -> None:
    """Draw it as a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(_bundle, folder)
        script = f"window.shown = {json.dumps(shown)};"
        (Path(folder) / "shown.js").write_text(script, "utf-8")

        async def serve(route: Route) -> None:
            path = urlsplit(route.request.url).path
            made = Path(folder) / path.removeprefix("/")
            shipped = UI / "img" / path.rpartition("/img/")[2]
            if path == "/":
                await route.fulfill(body=PAGE, content_type="text/html")
            elif file := next((one for one in (made, shipped) if one.is_file()), None):
                await route.fulfill(path=file)
            else:
                await route.abort()

        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM
            )
            page = await browser.new_page(
                viewport={"width": WIDTH, "height": 900},
                device_scale_factor=1.5,
                timezone_id="Europe/Amsterdam",
            )
            page.on("pageerror", lambda error: print("the page says:", error))
            await page.route("**/*", serve)
            await page.goto("http://picture/", timeout=PATIENCE)
            board = page.locator("#board")
            await board.wait_for(timeout=PATIENCE)
            await page.wait_for_load_state("networkidle")
            await page.wait_for_timeout(1000)  # charts are drawn after their frame
            await board.screenshot(path=picture)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
