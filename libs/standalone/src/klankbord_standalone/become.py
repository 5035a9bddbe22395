"""Become another program, perhaps as another user, that ends when its parent does.

Run as a script: `python become.py PARENT SIGNAL UID GID PROGRAM ARGUMENT…`; UID -1 keeps the user.

Linux signals a process when the thread that started it dies, if the process asked for that
(prctl(2), PR_SET_PDEATHSIG). Changing the user forgets the wish and exec keeps it, so it is made
between the two. A script of its own, because a `preexec_fn` may deadlock in a program with threads.
It imports the standard library only: it runs isolated (`-I -S`), and must start in milliseconds.
Elsewhere than on Linux the child is stopped with its parent in the ordinary way only.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, dies_by: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by `command`, bound to `parent`.

    Raises:
        OSError: the user cannot be changed, or the program cannot be run.
    """
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, dies_by)
        if os.getppid() != parent:  # it died before the wish was made
            sys.exit(f"{command[0]}: the process that started it is gone")
    os.execv(command[0], command)  # noqa: S606 # the program is the caller's


if __name__ == "__main__":
    became_by, signal_number, user, group = map(int, sys.argv[1:5])
    become(became_by, signal_number, user, group, sys.argv[5:])
