"""The cache of answers: who asks the same again, within a minute or so, gets what was answered.

`asked` says which answers may be kept, and what of a request decides its answer; `flights` lets one
of several run that ask the same at the same time; `shared` keeps answers in Redis, and `layer`
stands in the gateway.
"""
