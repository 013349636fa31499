"""A program: the server, more patient with its Redis. A busy machine is no Redis that stalls."""

from llmservice_server.__main__ import main
from llmservice_server.gateway.answers import patience
from llmservice_server.gateway.toll import redis

if __name__ == "__main__":
    patience.SECONDS = redis.SECONDS = 5.0
    main()
