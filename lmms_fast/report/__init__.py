"""Reading a run directory: yesterday's run as well as the one that just ended.

result.py   journal → scores, samples files, results.json
console.py  live view and score table
html.py     a run → one HTML file: figures.py its numbers, browse.py its samples, thumbs.py its pictures, page/ the rest
serve.py    a folder of runs in a browser; live.py how far they are
compare.py  runs against runs (compare_*.py); gate.py: a run against a policy
tables.py   scores as Markdown, LaTeX, CSV, JSON; plain.py takes commands out of texts, terminal.py draws pictures
export/     Parquet, CSV, lmms-eval's files, the hub
"""
