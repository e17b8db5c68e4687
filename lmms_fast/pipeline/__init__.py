"""The run: feed → respond → journal, as one stream for all tasks.

run.py       the whole run on one screen; work.py: what a session asks; session.py: its stages, all at once
roles.py     who is asked: the model, its judges
answers.py   the first stage's feed, and what becomes of outcomes; judging.py: the second's
stream.py    made ahead, sent, settled; channel.py: the bounded hand-over from the feed's thread to the event loop
door.py      servers' turns for streams; servers.py: reaching the servers and looking after them; watch.py: how they do
dispatch.py  a request: turn, attempt, back-off without a turn
spread.py    the answers as several client processes; worker.py: one of them; link.py: what is said between them;
             scale.py: how many
merge.py     shards → run; pictures.py: those of a run that was made before
stop.py budget.py timing.py   when it ends early, what it took
"""
