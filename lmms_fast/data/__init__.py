"""Datasets: rows in, samples out, one at a time.

source.py   rows of a task from the hub, a local copy, or files beside the YAML; pictures stay encoded
feed.py     limit, repeats, chosen ids, minus what is finished; tasks interleaved into one stream
"""
