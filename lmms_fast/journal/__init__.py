"""The run directory: what is written, and how it survives a kill.

records.py  outcomes and samples ↔ journal lines
store.py    the append-only journal: one write per outcome, torn tail cut, index of offsets
rundir.py   paths, lock, manifest; refuses another spec on the same directory
"""
