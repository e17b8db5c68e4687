"""Finished runs in the forms that other programs read. A run's own files stay as they are.

rows.py       a sample and repeat as one flat row
files.py      these as Parquet and CSV
lmms_eval.py  results JSON and samples JSONL with lmms-eval's names
hub.py        the lot as a dataset on the Hugging Face hub; scores in a model's card
"""
