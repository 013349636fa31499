"""The command ``llmservice-server``: ``serve`` the model, or ``check`` the configuration.

``admin``, with a help of its own, is for users, keys and what they used.

That is what the environment, the file and the defaults say, in this order; no file is needed:
``--model DIR`` serves what is there, ``--upstream URL`` stands before one upstream.
Exit codes: 0 drained, 1 the engine failed, 2 the configuration is wrong, 3 there is no model.
Whatever is not 0 comes with one line on standard error and in the termination log.
"""

import argparse
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmservice_server import secret, termination
from llmservice_server.config import (
    ConfigError,
    DatabaseConfig,
    EngineConfig,
    Place,
    ServerConfig,
    UpstreamConfig,
    UpstreamModel,
)
from llmservice_server.config.environment import unread
from llmservice_server.config.faults import faults
from llmservice_server.config.redis import address_of
from llmservice_server.config.static_keys import static_keys
from llmservice_server.engines import ENGINES
from llmservice_server.engines.failures import EngineError
from llmservice_server.store import address

_KEY = "OPENAI_API_KEY"
_OLLAMA = "OLLAMA_URL"
_MODEL = "MODEL_NAME"
_OPENAI = "https://api.openai.com/v1"


def main() -> None:
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    if arguments[:1] == ["admin"]:
        # what it needs is not there where no database is
        from llmservice_server.admin import command  # noqa: PLC0415

        return command.main(arguments[1:])
    parser = argparse.ArgumentParser("llmservice-server", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "check"),
        default="serve",
        help="serve until SIGTERM, or print the configuration with every default, without secrets",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration file")
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="the folder of the model, or a hub's id; with --upstream one model's name there",
    )
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help=f"stand before this server, its key, if any, in {_KEY}; without it {_OLLAMA} means "
        f"Ollama there, and {_KEY} with {_MODEL} means OpenAI",
    )
    chosen = parser.parse_args(arguments)
    if chosen.config and (chosen.model or chosen.upstream):
        parser.error("write --config alone: the file says what is served")
    where: object = None
    try:
        warnings = unread(os.environ)
        said = _said(chosen)
        where = said.where
        config = _with_database(_config(said))
        _find_secrets(config)
    except ConfigError as error:
        termination.report(f"{where}: {error}" if where else str(error))
        return 2
    sys.stderr.writelines(f"{warning}\n" for warning in warnings)
    return _check(config) if chosen.command == "check" else _serve(config)


@dataclass(frozen=True)
class _Said:
    """What is served, as far as the command and the usual names say it.

    where: what a fault is in. key: the variable that an upstream's key may be in.
    """

    config: Path | None = None
    model: str | None = None
    upstream: str | None = None
    where: object = None
    key: str | None = _KEY


def _said(chosen: argparse.Namespace) -> _Said:
    """The usual names choose what is served where nothing else says it."""
    if chosen.config:
        return _Said(config=chosen.config, where=chosen.config)
    if chosen.upstream:
        return _Said(model=chosen.model, upstream=chosen.upstream, where="--upstream")
    if chosen.model or os.environ.get("LLMSERVICE_MODEL_URI"):
        return _Said(model=chosen.model)
    if ollama := os.environ.get(_OLLAMA):
        url = ollama.rstrip("/").removesuffix("/v1") + "/v1"
        return _Said(upstream=url, where=_OLLAMA, key=None)  # the key is OpenAI's
    if os.environ.get(_KEY) and os.environ.get(_MODEL):
        return _Said(upstream=_OPENAI)
    return _Said()


def _config(said: _Said) -> ServerConfig:
    if said.config:
        return ServerConfig.from_yaml(_read(said.config), os.environ)
    if said.upstream:
        document = _proxy(said, said.upstream).model_dump(by_alias=True, mode="json")
        return ServerConfig.effective(document, os.environ)
    return ServerConfig.effective({"model": _model(said.model)} if said.model else {}, os.environ)


def _with_database(config: ServerConfig) -> ServerConfig:
    """Where something is to be kept and none is named, the user's own file."""
    if config.database or not (config.auth.stored or config.history):
        return config
    file = address.own_file(os.environ)
    return config.model_copy(update={"database": DatabaseConfig(sqlite=str(file))})


def _proxy(said: _Said, url: str) -> ServerConfig:
    name = said.model or os.environ.get(_MODEL)
    models = (UpstreamModel(name=name),) if name else ()
    key = Place(variable=said.key) if said.key and os.environ.get(said.key) else None
    try:
        upstream = UpstreamConfig(url=url, models=models, api_key=key)
    except ValidationError as error:
        raise ConfigError(faults(error, {})) from None
    return ServerConfig(engine=EngineConfig(type="proxy", upstreams=(upstream,)))


def _model(name: str) -> dict[str, Any]:
    folder = Path(name)
    if folder.exists() or folder.is_absolute():
        source = str(folder.absolute())
        return {"uri": f"file://{source}", "source": source, "servedName": folder.absolute().name}
    return {"uri": f"hf://{name}", "source": name, "servedName": name}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error.reason} at byte {error.start}") from None


def _find_secrets(config: ServerConfig) -> None:
    """Find out that one is missing before an engine is loaded for minutes."""
    for upstream in config.engine.upstreams:
        if upstream.api_key:
            secret.read_line(upstream.api_key, "engine.upstreams")
    if config.auth.keys:
        static_keys(secret.read(config.auth.keys, "auth.keys"), "auth.keys")
    if config.database:
        address.address_of(config.database)
    if config.auth.pepper:
        secret.read_line(config.auth.pepper, "auth.pepper")
    if config.redis.url:
        address_of(secret.read_line(config.redis.url, "redis.url"))


def _check(config: ServerConfig) -> int:
    engine = config.engine.model_copy(update={"args": termination.hidden(config.engine.args)})
    shown = config.model_copy(update={"engine": engine})
    sys.stdout.write(termination.masked(shown.to_yaml(), os.environ))
    return 0


def _serve(config: ServerConfig) -> int:
    # As process 1 of a container SIGTERM would be ignored until the engine's server handles it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ENGINES[config.engine.type](config)
    except ConfigError as error:
        termination.report(str(error))
        return 2
    except EngineError as error:
        termination.report(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("told to stop before anything was served\n")
    return 0


if __name__ == "__main__":
    main()
