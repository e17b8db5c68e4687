"""The vLLM that a run launches.

spec.py     what to serve
command.py  spec → command line and environment, pure
tune.py     what a run sets that the user did not, from the machine and the work, pure
guard.py    parent of the server process: nothing survives lmms-fast, not even its `kill -9`
launch.py   start, wait until ready, notice death, stop
fleet.py    where servers run, as the pipeline sees it: this machine, or
ray.py      the nodes of a Ray cluster; node.py is what runs there, layout.py how many nodes it takes, pure
kept.py     servers that --keep-server left running: registered, found again, stopped
hints.py    the end of a log → the cause and what to do, pure
"""
