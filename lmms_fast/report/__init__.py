"""Reading a run directory: yesterday's run as well as the one that just ended.

result.py   journal → scores, samples files, results.json
console.py  live view and score table
compare.py  runs against runs (compare_*.py); gate.py: a run against a policy
"""
