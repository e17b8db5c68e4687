"""Tasks: what is asked and how it is scored, as YAML.

spec.py     the schema of a task or group file, and the sentence for each mistake
catalog.py  from the names a user types to task files
guess.py    a data file without a task file → the task that it most likely is; draft.py writes it down, sketch.py is
            what the guess looks at
files.py    rows of a data file, whatever its format
render.py   one dataset row and a task → one `Sample`
"""
