"""What `vllm serve` is to those who launch it: a command line, a key in the environment, a log, and a child that does
not end by itself. Started by `tests/servers/ray_nodes.py` in vLLM's place."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from aiohttp import web

from tests.judging.work import answers
from tests.servers.stand_in import StandIn


def main() -> None:
    """Serve, or on a node that only works wait; neither where the node is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--broken", action="store_true")
    given, _ = parser.parse_known_args()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none named")
    print(f"GPUs {gpus}\nStarting to load model", *sys.argv[1:], flush=True)
    if given.broken or os.environ.get("STAND_IN_BROKEN"):
        sys.exit("RuntimeError: this node is broken")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if given.headless:
        time.sleep(600)
    server = StandIn(key=os.environ["VLLM_API_KEY"], names=tuple(given.served_model_name), behave=answers, delay_s=0.02)
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    web.run_app(app, host=given.host, port=given.port,
                print=lambda _: print("Application startup complete", flush=True))  # fmt: skip
