"""Parent of the vLLM process. Standard library only; run as a script, not imported.

    python -I guard.py LIFELINE_FD COMMAND…

It holds the read end of a pipe whose other end lmms-fast keeps. When that closes, by a clean end or by `kill -9`, or
when the server ends by itself, the guard ends every process below it and exits with the server's code. It is a
"child subreaper": when vLLM's API server dies, its orphaned engine processes become children of the guard, instead of
living on with the GPU's memory. A byte on the pipe means: the server is to be kept; then only its own end or a signal
ends the guard.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_S = 5.0


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def parents() -> dict[int, int]:
    """Every process's parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/" + name + "/stat", encoding="utf-8", errors="replace") as stat:
                    # The name in brackets may hold spaces and brackets itself.
                    found[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def descendants() -> list[int]:
    """Every process below this one."""
    table = parents()
    below: list[int] = []
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in table.items() if parent in frontier}
        below += frontier
    return below


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all(server: "subprocess.Popen[bytes]") -> None:
    """TERM to the server, a few seconds' grace, then KILL to everything, until nothing is left."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    for _ in range(100):
        left = descendants()
        if not left:
            return
        signal_all(left, signal.SIGKILL)
        server.poll()
        reap()
        time.sleep(0.05)


def main() -> None:
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    stop_signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    stopped: list[int] = []
    for number in stop_signals:
        signal.signal(number, lambda got, frame: stopped.append(got))
    signal.signal(signal.SIGCHLD, lambda got, frame: None)
    server = subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  (this process has no threads)
        stdin=subprocess.DEVNULL,
    )
    watched = [wake_read, lifeline]
    while server.poll() is None and not stopped:
        ready, _, _ = select.select(watched, [], [], 5.0)
        if lifeline in ready:
            if not os.read(lifeline, 1):
                break
            watched.remove(lifeline)
        if wake_read in ready:
            os.read(wake_read, 512)
    asked = server.poll() is None
    end_all(server)
    if scratch := os.environ.get("VLLM_RPC_BASE_PATH"):
        shutil.rmtree(scratch, ignore_errors=True)  # vLLM leaves its sockets there when it is not given time
    code = server.returncode
    sys.exit(0 if asked else (code if code is not None and code >= 0 else 1))


if __name__ == "__main__":
    main()
