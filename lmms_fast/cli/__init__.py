"""The command line: parse, call, print.

app.py     `lmms-fast`: eval, resume and score with their flags
execute.py what these do
tasks.py   tasks list, show, check
servers.py server list, stop: what --keep-server left running
parity.py  published outputs, scored again
importing.py  answers made elsewhere become a run
report.py  scores of runs for a page, a paper, a spreadsheet, a program
outputs.py export, push, show: what a run gives to others; show.py one sample in a terminal
doctor.py  what is installed, what can be reached, does the endpoint see
"""
