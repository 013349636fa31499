"""Who asks, and whether they may: keys, tokens of a provider, and the table of who may ask what.

The layers are in `layer`, and in `models` for what is known once the body was read; everything else
here decides or remembers.
"""
