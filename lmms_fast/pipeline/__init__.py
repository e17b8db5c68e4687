"""The run: feed → respond → journal, as one stream for all tasks.

channel.py   bounded hand-over from the feed's thread to the event loop: items and bytes
dispatch.py  the one door to endpoints: slot, attempt, back-off outside the slot
run.py       the whole run on one screen
pictures.py  those of a run that was made before
"""
