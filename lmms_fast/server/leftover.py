"""What a guard would have ended, had it not been killed itself. A server's processes all know where its sockets are."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path


def scratch(name: str) -> Path:
    """Folder for the sockets of the server of that unique name; short, for a socket's path has 107 bytes at most."""
    return Path(tempfile.gettempdir()) / name


def marked(name: str) -> dict[str, str]:
    """Variables that tell its processes. vLLM gives them titles, which must not be written over what /proc shows."""
    return {"VLLM_RPC_BASE_PATH": str(scratch(name)), "SPT_NOENV": "1"}


def end(name: str) -> None:
    """Kill what is left of a server whose guard has ended, and take its folder away."""
    mark = f"VLLM_RPC_BASE_PATH={scratch(name)}".encode()
    for _ in range(100):  # some may be starting others
        if not sum(_kill(int(entry), mark) for entry in os.listdir("/proc") if entry.isdigit()):
            break
        time.sleep(0.05)
    shutil.rmtree(scratch(name), ignore_errors=True)


def _kill(pid: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        handle = os.pidfd_open(pid)
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return True
        finally:
            os.close(handle)
    return False
