"""Whether a server and this machine agree on the time."""

from datetime import timedelta

from klankbord_standalone.doctor.finding import Judgement, ok, problem

MOST_SKEW = timedelta(seconds=5)


def clock_judged(ahead: timedelta) -> Judgement:
    """What to think of a server's clock that is so far ahead of this machine's."""
    side = "ahead of" if ahead > timedelta() else "behind"
    told = f"its clock is {abs(ahead).total_seconds():.1f} s {side} this machine's"
    if abs(ahead) > MOST_SKEW:
        return problem(told, "let NTP set both: signatures and due times go by the clock")
    return ok(told)
