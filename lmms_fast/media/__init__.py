"""Pictures on their way to the wire.

header.py   format and size from the first bytes, and what in it programs read in more than one way
fetch.py    media named by address: size, time and place limited
policy.py   what --image says
encode.py   stored bytes → those that are sent: the same where every program shows them alike, else what a person sees
draw.py     an outline on a picture
"""
