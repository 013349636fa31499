"""The model server of an LLMService: an engine with a gateway in the same process.

Importing this package, or its config module, never imports an engine or a web framework.
"""
