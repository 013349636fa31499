"""A server that does not serve yet: how far it is, and who says so on its port meanwhile."""

from llmservice_server.loading.listener import Listener
from llmservice_server.loading.progress import Notes, Phase, Progress, date
from llmservice_server.loading.startup import Startup

__all__ = ["Listener", "Notes", "Phase", "Progress", "Startup", "date"]
