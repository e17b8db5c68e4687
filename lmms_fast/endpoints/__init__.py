"""Named servers and the one way to ask them.

presets.py    what a user types (`local`, a URL, `openai`) → address, key and the provider's habits
wire.py       messages ↔ JSON bytes, pure
classify.py   status and body → what kind of failure; when to try again, pure
redact.py     the key taken out of what a server sent back
transport.py  the only module with the HTTP library of the request path
pool.py       several servers of one model: which one next
probe.py      control plane: reachable? key right? which model? (httpx)
"""
