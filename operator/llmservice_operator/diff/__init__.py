"""What applying a file would change in a resource's children, as the API server would have it.

Nothing is written: every request that could write is a dry run, so that defaults, fields that
others own, admission and the rules of the schema are the server's own.
"""
