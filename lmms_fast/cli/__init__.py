"""The command line: parse, call, print.

app.py     `lmms-fast`, with eval, resume and score
tasks.py   tasks list, show, check
servers.py server list, stop: what --keep-server left running
doctor.py  what is installed, what can be reached, does the endpoint see
"""
