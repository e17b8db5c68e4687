"""Tasks: what is asked and how it is scored, as YAML.

spec.py     the schema of a task or group file, and the sentence for each mistake
catalog.py  from the names a user types to task files
render.py   one dataset row and a task → one `Sample`
"""
