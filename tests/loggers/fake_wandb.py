"""A library called `wandb` that misbehaves as FAKE_WANDB says (WHAT=HOW): hangs, throws, dies or is slow at a call."""

import os
import pathlib
import time


def _meet(call):
    with pathlib.Path(os.environ["FAKE_WANDB_LOG"]).open("a") as file:
        file.write(f"{call}\n")
    at, _, how = os.environ.get("FAKE_WANDB", "").partition("=")
    if at == call:
        if how == "hang":
            time.sleep(3600)
        if how == "die":
            os.kill(os.getpid(), 9)
        if how == "slow":
            time.sleep(0.2)
        if how == "throw":
            raise RuntimeError(f"the key {os.environ['WANDB_API_KEY']} is not known at http://me:secret@there\x1b[31m")


class Run:
    id, url, dir = "1", "http://wandb.invalid/run", "."

    def __init__(self):
        self.summary = {}

    def define_metric(self, *words, **more):
        pass

    def log(self, content):
        _meet("log")

    def log_artifact(self, artifact):
        _meet("log_artifact")

    def finish(self, exit_code):
        _meet(f"finish {exit_code}" if "finish" not in os.environ.get("FAKE_WANDB", "") else "finish")


class Anything:
    def __init__(self, *words, **more):
        pass

    def add_data(self, *cells):
        pass

    add_file = add_data


Settings = Table = Image = Artifact = Anything


def init(**settings):
    _meet("init")
    return Run()
