"""Published outputs of real models, scored again with the rules that `eval` uses; answers made elsewhere, taken in.

entries.py   what a set is: files at a pinned commit, its metric, the published figures; sets.yaml holds ours
fetch.py     where the files are: a folder, the cache, or their public repository
readers.py   files of any form → rows of named fields
table.py     rows with a response each → items to score; formats.py: the forms of single benchmarks
scored.py    items → the rules that `eval` uses → scores and figures
sets.py      kinds of set by the name of their metric: which form, which rules, which figures
compare.py   ours beside theirs, to the digit; where they differ, sample by sample
importing.py a file of answers → an ordinary run directory

The files belong to their authors and are never shipped.
"""
