"""What this stands on in FastStream, beyond its public API: an upgrade that changes it fails here.

Then look whether `klankbord_runtime.subscription` still starts no pull loop of FastStream's own.
"""

import inspect

from faststream.nats.subscriber.usecases import LogicSubscriber
from faststream.nats.subscriber.usecases.stream_pull_subscriber import BatchPullStreamSubscriber


def test_starting_a_subscriber_calls_the_one_method_that_we_replace() -> None:
    start = inspect.getsource(LogicSubscriber.start)
    assert "await self._create_subscription()" in start
    assert inspect.iscoroutinefunction(BatchPullStreamSubscriber._create_subscription)
    assert "_consume_pull" in inspect.getsource(BatchPullStreamSubscriber._create_subscription)


def test_a_batch_is_dispatched_by_a_public_method() -> None:
    assert list(inspect.signature(BatchPullStreamSubscriber.process_message).parameters) == [
        "self",
        "msg",
    ]
