"""What a run is asked to do.

spec.py   `RunSpec`, one field per flag, and the part of it that decides results
"""
