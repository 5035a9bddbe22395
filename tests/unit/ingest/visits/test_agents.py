"""Crawlers, link previews and prefetching browsers are told from people."""

import json
import time
from importlib.resources import files

import pytest

from klankbord_ingest.visits.agents import MAX_AGENT, is_ahead, is_program

LIKE = "(KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 {LIKE}"
LINUX = f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 {LIKE}"
ANDROID = f"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 {LIKE}"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 {LIKE}"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 {LIKE}"
BROWSERS = [
    f"{WINDOWS} Chrome/131.0.0.0 Safari/537.36",
    f"{WINDOWS} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    f"{WINDOWS} Slack/4.41.97 Chrome/130.0.0.0 Electron/33.0.1 Safari/537.36",
    f"{LINUX} Chrome/131.0.0.0 Safari/537.36 OPR/116.0.0.0",
    f"{ANDROID} Chrome/131.0.0.0 Mobile Safari/537.36",
    f"{ANDROID} SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
    f"{ANDROID} Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/490.0.0.0;]",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0",
    f"{MAC} Version/18.1 Safari/605.1.15",
    f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1",
    f"{IPHONE} Mobile/15E148 Instagram 356.0.0.0 (iPhone15,2; iOS 18_1; en_US; en; scale=3.00)",
    f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.30",
]
PREVIEWS = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)",
    "Mastodon/4.3.1 (http.rb/5.2.0; +https://mastodon.example/)",
    "Synapse (bot; +https://github.com/matrix-org/synapse)",
    "Discourse Forum Onebox v3.4",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "curl/8.11.0",
    "python-httpx/0.28.1",
    "Wget/1.24.5",
    "",
    "   ",
]


@pytest.mark.parametrize("agent", BROWSERS)
def test_a_browser_is_no_program(agent: str) -> None:
    assert not is_program(agent)


@pytest.mark.parametrize("agent", PREVIEWS)
def test_a_link_preview_a_crawler_and_a_library_are_programs(agent: str) -> None:
    assert is_program(agent)


def test_every_agent_that_the_list_knows_by_name_is_found() -> None:
    """Taking the patterns apart into words and expressions loses none of them."""
    entries = json.loads((files("crawleruseragents") / "crawler-user-agents.json").read_bytes())
    instances = [one for entry in entries for one in entry.get("instances", ())]
    assert len(instances) > 2000
    assert [one for one in instances if len(one) <= MAX_AGENT and not is_program(one)] == []


def test_telling_takes_less_than_a_fifth_of_a_millisecond() -> None:
    is_program(BROWSERS[0])
    begun = time.process_time()
    for _ in range(50):
        for agent in BROWSERS:
            is_program(agent)
    assert (time.process_time() - begun) / (50 * len(BROWSERS)) < 0.0002


def test_an_endless_agent_is_read_to_a_point() -> None:
    begun = time.process_time()
    is_program("Spider" * 200_000)
    assert time.process_time() - begun < 0.05


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"sec-purpose": "prefetch;anonymous-client-ip"},
        {"purpose": "prefetch"},
        {"x-purpose": "preview"},
        {"x-moz": "prefetch"},
    ],
)
def test_a_prefetch_is_nobody_yet(headers: dict[str, str]) -> None:
    assert is_ahead(headers)


def test_a_click_is_no_prefetch() -> None:
    assert not is_ahead({})
    assert not is_ahead({"sec-fetch-mode": "navigate", "sec-purpose": ""})
