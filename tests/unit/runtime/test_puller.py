import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from klankbord_runtime.puller import Delivery, delivery_of


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.INGEST.moderation-posts.4.17.12.1700000000000000000.3",
        "$JS.ACK._.hash.INGEST.moderation-posts.4.17.12.1700000000000000000.3",
        "$JS.ACK._.hash.INGEST.moderation-posts.4.17.12.1700000000000000000.3.random",
    ],
)
def test_reads_what_the_server_says_of_a_delivery(reply: str) -> None:
    message = Msg(Client(), subject="klankbord.post.received.v1.acme.forum", reply=reply)
    assert delivery_of(message) == Delivery(stream_sequence=17, deliveries=4)
