"""Trackers that people look at: Weights & Biases, MLflow, TensorBoard.

A tracker's library runs in a process of its own, so that one that hangs, leaks or dies can be ended, and takes no time
from the requests. The run tells it a few numbers now and then, and at the end to read the run's directory.

settings.py    `--wandb project=…`: what may be said, checked before the run
feed.py        events → numbers → the other process, from a thread with a bounded queue
child.py       the other process
choice.py      the bounded part of the samples that is shown, failures first, with small pictures
weights_and_biases.py, ml_flow.py, tensor_board.py   what each library is told
"""
