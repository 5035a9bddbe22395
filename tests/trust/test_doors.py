"""Who gets in and what gets out: the whole tables of `make trust`."""

from trust.bus import bus
from trust.outgoing import outgoing
from trust.signatures import signatures
from trust.tried import Tried


def test_only_who_signs_rightly_gets_in() -> None:
    tried = Tried()
    signatures(tried)
    assert tried.failures == []
    assert tried.cases >= 100


async def test_no_address_leads_inside_however_it_comes() -> None:
    tried = Tried()
    await outgoing(tried)
    assert tried.failures == []
    assert tried.cases >= 60 * 3


async def test_each_user_of_the_bus_may_what_the_table_says_and_no_more() -> None:
    tried = Tried()
    await bus(tried)
    assert tried.failures == []


async def test_the_tables_can_fail() -> None:
    tried = Tried()
    tried.check("one", holds=True)
    tried.check("other", holds=False, found="this")
    assert (tried.cases, tried.failures) == (2, ["other: 'this'"])
