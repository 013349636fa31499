"""A request that is sent again by the same Idempotency-Key runs once.

`claims` says what a key is claimed for and by whom; `own` holds claims in memory, `shared` in
Redis; `layer` stands in the gateway.
"""
