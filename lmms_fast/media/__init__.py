"""Pictures on their way to the wire.

header.py   format and size from the first bytes
fetch.py    media named by address: size, time and place limited
encode.py   stored bytes → a data URL's parts; passed through where servers read the format, else converted once
"""
