"""One file a revision, each only adding to the one before it."""
