"""Tasks of other evaluators, run by our engine. Imported only when such a task is named (`tasks.foreign`).

lmms_eval.py  an installed lmms-eval: names, task records, rows
opened.py     a task of it with its data, from the hub or from --data-dir; what its code prints, and its errors
marks.py      its filters, process_results and aggregations over the answers
pictures.py   the stored bytes of the pictures that its code was shown
network.py    what its scoring code wants of the network: said, and refused unless allowed
"""
