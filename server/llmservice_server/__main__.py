"""The command ``llmservice-server``: ``serve`` a configuration file, or ``check`` it.

``llmservice-server --upstream URL`` stands before one upstream without a file.

Exit codes: 0 drained, 1 the engine failed, 2 the configuration is wrong, 3 there is no model.
Whatever is not 0 comes with one line on standard error and in the termination log.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from llmservice_server import termination
from llmservice_server.config import (
    ApiKey,
    ConfigError,
    EngineConfig,
    ServerConfig,
    UpstreamConfig,
    UpstreamModel,
)
from llmservice_server.config.faults import faults
from llmservice_server.engines import ENGINES
from llmservice_server.engines.failures import EngineError

_KEY = "OPENAI_API_KEY"


def main() -> None:
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("llmservice-server", description=__doc__)
    parser.add_argument("--upstream", metavar="URL", help=f"its key, if any, is in {_KEY}")
    parser.add_argument("--model", metavar="NAME", help="of the upstream; default: all it lists")
    commands = parser.add_subparsers(dest="command")
    for name, purpose in (
        ("serve", "serve the model until SIGTERM"),
        ("check", "validate the file and print it with every default"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
    chosen = parser.parse_args(arguments)
    if (chosen.command is None) == (chosen.upstream is None):
        parser.error("write serve or check with a file, or --upstream URL")
    where = "--upstream" if chosen.command is None else chosen.config
    try:
        config = _proxy(chosen) if chosen.command is None else _read(chosen.config)
    except ConfigError as error:
        termination.report(f"{where}: {error}")
        return 2
    if chosen.command == "check":
        sys.stdout.write(config.to_yaml())
        return 0
    return _serve(config)


def _read(file: Path) -> ServerConfig:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    return ServerConfig.from_yaml(text)


def _proxy(chosen: argparse.Namespace) -> ServerConfig:
    models = (UpstreamModel(name=chosen.model),) if chosen.model else ()
    key = ApiKey(variable=_KEY) if os.environ.get(_KEY) else None
    try:
        upstream = UpstreamConfig(url=chosen.upstream, models=models, api_key=key)
    except ValidationError as error:
        raise ConfigError(faults(error)) from None
    return ServerConfig(engine=EngineConfig(type="proxy", upstreams=(upstream,)))


def _serve(config: ServerConfig) -> int:
    # As process 1 of a container SIGTERM would be ignored until the engine's server handles it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ENGINES[config.engine.type](config)
    except EngineError as error:
        termination.report(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("told to stop before anything was served\n")
    return 0


if __name__ == "__main__":
    main()
