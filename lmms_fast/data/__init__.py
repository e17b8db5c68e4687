"""Datasets: rows in, samples out, one at a time.

source.py   rows of a task from the hub, a local copy, or files beside the YAML; pictures stay encoded
pull.py     datasets fetched ahead; copies.py is their record, layout.py says which files hold a split
feed.py     limit, repeats, chosen ids, minus what is finished; tasks interleaved into one stream
again.py    pictures of samples that were asked before
"""
