"""What to think of this machine."""

import sys

from klankbord_standalone.doctor.finding import (
    Checks,
    Judgement,
    named,
    ok,
    problem,
    unchecked,
    warning,
)
from klankbord_standalone.doctor.machine import MachineFacts
from klankbord_standalone.doctor.words import size

NEARLY_FULL, FULL = 0.15, 0.05
"""The parts of a disk that are free."""


def version(machine: MachineFacts) -> Judgement:
    """Whether the packages that are installed here belong together."""
    versions = set(machine.packages.values())
    if len(versions) > 1:
        told = named(f"{package} {found}" for package, found in machine.packages.items())
        return problem(f"packages of different versions: {told}", "install all of one release")
    return ok(f"Klankbord {', '.join(versions)} on Python {machine.python}, {sys.platform}")


def disk(machine: MachineFacts) -> Judgement:
    """Whether the disk has room."""
    if not machine.disks:
        return unchecked("there is no data folder here")
    least = min(machine.disks, key=lambda d: d.free / d.total)
    told = f"{size(least.free)} of {size(least.total)} free at {least.folder}"
    if least.free < FULL * least.total:
        return problem(told, "make room: a full disk stops NATS and PostgreSQL")
    if least.free < NEARLY_FULL * least.total:
        return warning(told, "make room, or keep less: streams.yaml, KLANKBORD_OUTBOX__KEPT_HOURS")
    return ok(told)


def modes(machine: MachineFacts) -> Judgement:
    """Whether keys and passwords are there, and their owner's alone."""
    if machine.unusable:
        return problem(machine.unusable, "best: put it back from a copy of this folder")
    if machine.open_files:
        return problem(
            f"others may reach {named(machine.open_files)}", "chmod 600 each; if it was read, renew"
        )
    if not machine.secrets:
        return unchecked("there are none here")
    return ok(f"{machine.secrets} keys and passwords, each for its owner alone")


def authorization(machine: MachineFacts) -> Judgement:
    """Whether the list of NATS's users and permissions is the one that this build needs."""
    if machine.stale_permissions is None:
        return unchecked("there is no auth.conf here, or not every key that it is made of")
    if machine.stale_permissions:
        return problem(
            "auth.conf is not what this build and these keys need",
            "klankbord credentials FOLDER writes it anew; give it to nats-server and restart that",
        )
    return ok("auth.conf is what this build and these keys need")


def files(machine: MachineFacts) -> Judgement:
    """Whether the configuration files are well formed."""
    if not machine.files:
        return unchecked(f"there is none in {machine.config}")
    wrong = [f"{name} ({f.problems} problems)" for name, f in machine.files.items() if f.problems]
    if wrong:
        return problem(
            f"refused: {named(wrong)}",
            "klankbord config|policy|routing|query check FILE names each line and its fix; "
            "klankbord provision does for streams.yaml",
        )
    return ok(f"{named(machine.files)}: well formed")


CHECKS: Checks[MachineFacts] = {
    "version": version,
    "disk": disk,
    "keys and passwords": modes,
    "NATS: users": authorization,
    "configuration": files,
}
