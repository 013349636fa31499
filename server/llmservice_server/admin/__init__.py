"""Administration: users, plans, keys and what they used, over /admin/v1 and by a command.

Both are the same functions on the store; each change is in the audit trail with who made it.
"""
