"""A member is erased: what was found is counted, and neither words nor author are left."""

from integration.moderation.test_moderation import FLAGS, NOON, Replicas, said
from integration.moderation.test_moderation import replicas as replicas  # the fixture

from klankbord_runtime.work import Work
from klankbord_schemas import Erasure, MemberErased, member_digest

LINK = "see https://spam.example/page for a nice thing"


def erased(author: int) -> MemberErased:
    digest = member_digest(f"p-{author:032x}")
    return MemberErased.of(Erasure(community="acme", member_digest=digest), NOON)


async def test_labels_stay_and_words_go(replicas: Replicas) -> None:
    await replicas.judge(
        said("a", "free money for you!!!", author=1),
        said("b", "free money for all", author=2),
        said("c", LINK, author=1),
        said("elsewhere", "free money there", author=1, community="other"),
    )
    before = await replicas.rows(FLAGS)
    async with replicas.database.transaction() as connection:
        forgotten = await replicas.moderation.forget(erased(1), Work(connection, NOON))
    assert forgotten.removed == {"posts": 2, "links": 1, "verdicts": 1}
    assert await replicas.rows(FLAGS) == before

    words = await replicas.rows(
        "select jsonb_path_query_array(labels, '$[*].evidence[*].text') from verdict"
    )
    assert sorted(words) == [([],), (["free money"],), (["free money"],)]
    left = await replicas.rows("select community, author, text_key is null from heard_post")
    assert sorted(left, key=str) == sorted(
        [
            ("acme", None, True),
            ("acme", None, True),
            ("acme", f"p-{2:032x}", False),
            ("other", f"p-{1:032x}", False),
        ],
        key=str,
    )
