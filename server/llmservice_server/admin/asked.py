"""What an administrator writes, each field with the bounds that tell a slip from a wish."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from llmservice_server.config.part import Part
from llmservice_server.config.plan import NAME
from llmservice_server.gateway.identity.access import NAMES
from llmservice_server.store.tables import MODEL, USER
from llmservice_server.store.usage import Dimension

MOST_ROWS = 100_000

_NAMES = ", ".join(sorted(NAMES))


def _route(route: str) -> str:
    if route not in NAMES:
        raise PydanticCustomError("route", "write one of {names}", {"names": _NAMES})
    return route


def _to_come(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise PydanticCustomError("past", "write a time to come, as 2030-01-31T00:00:00Z")
    return moment


UserName = Annotated[
    str,
    # what an identity provider may call somebody, and no slash: it is a part of addresses
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+|:-]*$",
        max_length=USER,
        description="Letters and digits, and among them . _ @ + | : -",
        examples=["alice@example.com"],
    ),
]
MonthName = Annotated[
    str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="In UTC.", examples=["2026-01"])
]
PlanName = Annotated[
    str,
    Field(
        pattern=NAME,
        description="One of the stored plans or the configuration's; null: its default.",
        examples=["small"],
    ),
]


class NewUser(Part):
    name: UserName
    plan: PlanName | None = None


class NewPlan(Part):
    """Which plan a user has from now on."""

    plan: PlanName | None


class NewKey(Part):
    """Without ``routes`` and ``models`` it opens all that the user's plan allows."""

    user: UserName
    name: Annotated[str, Field(max_length=USER, description="What it is for.")] = ""
    admin: Annotated[bool, Field(description="Whether it may administer, too.")] = False
    routes: (
        Annotated[
            tuple[Annotated[str, AfterValidator(_route)], ...],
            Field(strict=False, examples=[["/v1/chat/completions"]]),
        ]
        | None
    ) = None
    models: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=MODEL)], ...],
            Field(strict=False, description="Adapters, too.", examples=[["qwen"]]),
        ]
        | None
    ) = None
    expires: Annotated[AwareDatetime, Field(strict=False), AfterValidator(_to_come)] | None = None


class AskedUsage(BaseModel):
    """Which usage, in days in UTC; as a query, whose values are texts."""

    model_config = ConfigDict(extra="forbid")
    first: Annotated[
        date | None, Field(description="Without it the month's first.", examples=["2026-01-01"])
    ] = None
    last: Annotated[date | None, Field(description="Itself included; without it today.")] = None
    by: Annotated[list[Dimension], Field(description="Sums for each of these.")] = []
    user: str | None = None
    key: Annotated[str | None, Field(description="Its prefix, or a static key's name.")] = None
    model: str | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 1000

    def as_asked(self) -> dict[str, Any]:
        """As `Usage.used` takes it."""
        today = datetime.now(UTC).date()
        of = {"user": self.user, "key": self.key, "model": self.model}
        return {
            "first": self.first or today.replace(day=1),
            "last": self.last or today,
            "by": self.by,
            "of": {name: value for name, value in of.items() if value is not None},
            "limit": self.limit,
        }


RequestNumber = Annotated[int, Field(ge=0, le=2**53)]


class AskedHistory(BaseModel):
    """Which requests, the newest first; as a query, whose values are texts."""

    model_config = ConfigDict(extra="forbid")
    user: str | None = None
    key: Annotated[str | None, Field(description="Its prefix, or a static key's name.")] = None
    model: str | None = None
    since: Annotated[
        AwareDatetime | None,
        Field(description="That began then or later.", examples=["2026-01-31T12:00:00Z"]),
    ] = None
    until: Annotated[AwareDatetime | None, Field(description="That began before.")] = None
    before: Annotated[
        RequestNumber | None, Field(description="The number of one; those older than it.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100

    def as_asked(self) -> dict[str, Any]:
        """As `History.requests` takes it."""
        of = {"user": self.user, "key": self.key, "model": self.model}
        return {
            "of": {name: value for name, value in of.items() if value is not None},
            "since": self.since,
            "until": self.until,
            "before": self.before,
            "limit": self.limit,
        }


class AskedMonth(Part):
    month: MonthName


def this_month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")
