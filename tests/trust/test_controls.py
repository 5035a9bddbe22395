"""The auditor sees a loss and a repetition when there is one."""

import pytest
from trust.controls import control

from klankbord_standalone.servers import Installation


@pytest.mark.parametrize(("kind", "symptom"), [("repetitive", "doubled"), ("late", "lost")])
async def test_a_naive_handler_is_found_out(
    kind: str, symptom: str, installation: Installation
) -> None:
    found = await control(kind, installation, seed=7)
    assert getattr(found, symptom) > 0
