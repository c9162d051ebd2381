"""Run a program that dies with its parent: ``python tether.py PARENT_PID PROGRAM ARGUMENT...``.

The supervisor starts its processes through this file, so that a killed supervisor leaves nothing
behind. It is run by path and imports little: it costs about 20 ms. Only Linux knows the request;
elsewhere the program simply runs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the request was made.
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    # Python ignores broken pipes; what is executed next inherits that unless it is undone.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
