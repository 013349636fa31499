"""Limits and quotas of callers: how much who may ask for, and what is left of it.

`charges` and `estimate` say what a request may cost, `spent` what it did; `counters` is how that is
counted, in `memory` or, exact over all replicas, in `redis`, guarded by `down`; `layer` stands in
the gateway. What is durable is the `ledger`'s.
"""
