"""Answers that were given once and are given again: what the cache and idempotency share.

`recording` keeps an answer as it goes by, `recorded` is one that is whole; `shelf` holds them in
memory, `patience` stands before a Redis that does. `given` says of a request that it was answered
so, and not by the engine.
"""
