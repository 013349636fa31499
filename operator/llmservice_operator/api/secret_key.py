"""A key of a Secret of the resource's namespace: where the spec names what it must not hold."""

from llmservice_operator.api.fields import DataKey, ObjectName
from llmservice_operator.api.part import Part


class SecretKey(Part):
    """A key of a Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: DataKey
    """Which of its keys holds it."""


class ApiKeySecret(SecretKey):
    """A key of a Secret of the same namespace."""

    key: DataKey = "API_KEY"
    """Which of its keys holds the API key."""


class PepperSecret(SecretKey):
    """A key of a Secret of the same namespace."""

    key: DataKey = "KEY_PEPPER"
    """Which of its keys holds the pepper."""


class RedisSecret(SecretKey):
    """A key of a Secret of the same namespace."""

    key: DataKey = "REDIS_URL"
    """Which of its keys holds the address."""


class DatabaseSecret(SecretKey):
    """A key of a Secret of the same namespace."""

    key: DataKey = "DATABASE_URL"
    """Which of its keys holds the address."""
