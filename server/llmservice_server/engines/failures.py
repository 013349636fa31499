"""Why an engine did not serve, each with the exit code that tells it apart."""


class EngineError(Exception):
    """The engine did not start, or ended by itself. Its text is one line for people."""

    exit_code = 1


class EngineConfigError(EngineError):
    """The engine does not take these arguments."""

    exit_code = 2


class ModelMissingError(EngineError):
    """There is no model where the configuration says that one is."""

    exit_code = 3
