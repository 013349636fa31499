"""Who asks, and whether they may: keys, tokens of a provider, and the table of who may ask what.

`layer` is the one ASGI class that finds out; everything else here decides or remembers.
"""
