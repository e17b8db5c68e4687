"""Measurements anyone can repeat: ``python -m bench.NAME``. What they gave, failures included, stands in LOG.md."""
