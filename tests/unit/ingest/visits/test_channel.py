"""How somebody came: by the campaign, the host that led there, or directly."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.visits.channel import Campaign, campaign_of, channel_of, referrer_of


@pytest.mark.parametrize(
    ("referrer", "channel"),
    [
        ("https://www.google.com/", "search"),
        ("https://www.google.de/search?q=secret", "search"),
        ("https://www.google.co.uk/", "search"),
        ("https://duckduckgo.com/", "search"),
        ("https://uk.search.yahoo.com/", "search"),
        ("android-app://com.google.android.googlequicksearchbox/", "search"),
        ("https://l.facebook.com/", "social"),
        ("https://lm.facebook.com/l.php?u=x", "social"),
        ("https://t.co/AbC", "social"),
        ("https://www.linkedin.com/", "social"),
        ("https://old.reddit.com/r/python", "social"),
        ("https://mastodon.social/@anna", "social"),
        ("https://bsky.app/", "social"),
        ("https://app.slack.com/", "social"),
        ("android-app://com.reddit.frontpage/", "social"),
        ("https://chatgpt.com/", "ai"),
        ("https://www.perplexity.ai/search/x", "ai"),
        ("https://gemini.google.com/", "ai"),
        ("https://mail.google.com/mail/u/0", "email"),
        ("https://outlook.live.com/", "email"),
        ("android-app://com.google.android.gm/", "email"),
        ("https://docs.google.com/document/d/1", "link"),
        ("https://blog.example.org/a?b=c", "link"),
        ("http://192.0.2.7/", "link"),
        ("https://google.evil.example/", "link"),
        ("https://notgoogle.com/", "link"),
        ("https://facebook.com.evil.example/", "link"),
        ("android-app://org.example.reader/", "link"),
        ("", "direct"),
        ("about:blank", "direct"),
        ("http://[broken", "direct"),
        ("https://exa mple.org/", "direct"),
        ("javascript:alert(1)", "direct"),
    ],
)
def test_the_host_that_led_there_tells_the_channel(referrer: str, channel: str) -> None:
    assert channel_of(referrer_of(referrer), Campaign()) == channel


@pytest.mark.parametrize(
    ("address", "referrer", "channel"),
    [
        ("https://e.org/?utm_medium=email", "https://www.google.com/", "email"),
        ("https://e.org/?utm_medium=Newsletter", "", "email"),
        ("https://e.org/?UTM_Medium=paid_social", "https://l.facebook.com/", "paid"),
        ("https://e.org/?utm_medium=Paid Social", "https://l.facebook.com/", "paid"),
        ("https://e.org/?mtm_medium=cpc", "", "paid"),
        ("https://e.org/?utm_medium=qr", "", "direct"),
        ("https://e.org/?utm_medium=referral", "", "link"),
        ("https://e.org/?gclid=abc", "https://www.google.com/", "paid"),
        ("https://e.org/?utm_medium=social&gclid=abc", "", "social"),
        ("https://e.org/?utm_medium=sky-writing", "https://www.google.com/", "search"),
        ("https://e.org/?utm_medium=sky-writing", "", "direct"),
        ("https://e.org/?utm_source=chatgpt.com", "", "ai"),
        ("https://e.org/?utm_source=spring", "", "direct"),
        ("https://e.org/#utm_medium=email", "", "direct"),
    ],
)
def test_what_the_campaign_says_comes_first(address: str, referrer: str, channel: str) -> None:
    assert channel_of(referrer_of(referrer), campaign_of(address)) == channel


def test_of_a_referrer_nothing_but_the_host_is_kept() -> None:
    assert referrer_of("https://anna:pw@www.Example.org:8443/inbox/42?token=1#x") == "example.org"
    assert referrer_of("https://example.org./") == "example.org"
    assert referrer_of("https://" + "a" * 300 + ".org/") is None


def test_a_campaign_is_read_from_the_query() -> None:
    told = campaign_of("https://e.org/?utm_source=a&utm_campaign=Spring%20sale&utm_content=top&x=1")
    assert told == Campaign(source="a", campaign="Spring sale", content="top")
    assert campaign_of("https://e.org/?pk_campaign=old").campaign == "old"
    assert campaign_of("https://e.org/?utm_campaign=first&utm_campaign=second").campaign == "first"
    assert campaign_of("https://e.org/?utm_campaign=a%00b").campaign == "ab"
    assert campaign_of("https://e.org/?" + "a=1&" * 500) == Campaign()


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_address_breaks_it(address: str, referrer: str) -> None:
    host = referrer_of(referrer)
    assert channel_of(host, campaign_of(address))
    assert host is None or set(host.lower()) <= set(string.ascii_lowercase + string.digits + "-._:")
