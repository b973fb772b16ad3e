"""LG's codes, and what we do after each of them.

Owns: the kinds of calls, the reactions, and the one table of LG's codes with the reaction for each call.
Must not: read an answer, send anything, or keep state.

An answer without a code, such as a bare 401, is judged by its HTTP status in ``protocol``. Where the reaction is
``credentials``, ``client`` renews the token once and calls again. If LG still refuses, ``core.account`` stops the
account.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    DeviceRefused,
    PlatformError,
    SubscriptionsFull,
    Surprise,
    Throttled,
    Unavailable,
)


class Call(StrEnum):
    """The calls we make, by what they are for."""

    LIST = "list"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    DEVICES = "devices"


CHANGES = frozenset({Call.SUBSCRIBE, Call.UNSUBSCRIBE})
"""Calls that rest on a list, and must go out for the user whose list it was."""


class Reaction(StrEnum):
    """What we do after an answer."""

    DONE = "done"
    RETRY = "retry"
    THROTTLED = "throttled"
    REFUSED = "refused"
    FULL = "full"
    CREDENTIALS = "credentials"
    CONFIGURATION = "configuration"
    SURPRISE = "surprise"


ERRORS: dict[Reaction, type[PlatformError]] = {
    Reaction.RETRY: Unavailable,
    Reaction.THROTTLED: Throttled,
    Reaction.REFUSED: DeviceRefused,
    Reaction.FULL: SubscriptionsFull,
    Reaction.CREDENTIALS: CredentialsRefused,
    Reaction.CONFIGURATION: ConfigurationRefused,
    Reaction.SURPRISE: Surprise,
}
"""The error of each reaction except ``done``."""


@dataclass(frozen=True, slots=True)
class Code:
    """One of LG's codes: LG's words for it, the HTTP status it comes with, and our usual reaction.

    ``subscribe`` and ``unsubscribe`` override it for those calls. ``hint`` names what a person should look at.
    """

    words: str
    status: int
    reaction: Reaction = Reaction.SURPRISE
    subscribe: Reaction | None = None
    unsubscribe: Reaction | None = None
    hint: str = ""

    def on(self, call: Call) -> Reaction:
        """Return the reaction to this code on one kind of call."""
        specific = {Call.SUBSCRIBE: self.subscribe, Call.UNSUBSCRIBE: self.unsubscribe}.get(call)
        return specific or self.reaction


def _device(words: str, status: int, *, gone: bool = False) -> Code:
    """Return a code that refuses one device; ``gone``: to unsubscribe it is then already done."""
    unsubscribe = Reaction.DONE if gone else Reaction.REFUSED
    return Code(words, status, subscribe=Reaction.REFUSED, unsubscribe=unsubscribe)


CODES: dict[str, Code] = {
    "0000": Code("Unknown error", 500, Reaction.RETRY),
    "1000": Code("Bad request", 400),
    "1101": Code("Missing parameters", 400),
    "1102": Code("Unacceptable parameters", 400),
    "1103": Code("Invalid token (syntax)", 400, Reaction.CREDENTIALS, hint="the access token"),
    "1104": Code("Invalid message id", 400),
    "1201": Code("Not registered admin", 404, Reaction.CONFIGURATION, hint="PCC_SERVICE_ID"),
    "1202": Code(
        "Not registered user",
        404,
        Reaction.CONFIGURATION,
        hint="the account's token, or PCC_REGION",
    ),
    "1203": Code("Not registered service", 404, Reaction.CONFIGURATION, hint="PCC_SERVICE_ID"),
    "1204": Code("Not subscribed event", 404, unsubscribe=Reaction.DONE),
    "1205": _device("Not registered device", 404, gone=True),
    "1206": Code("Not subscribed push", 404, unsubscribe=Reaction.DONE),
    "1207": Code("Already subscribed push", 404, subscribe=Reaction.DONE),
    "1208": Code(
        "Not registered service by admin", 404, Reaction.CONFIGURATION, hint="PCC_SERVICE_ID"
    ),
    "1209": Code(
        "Not registered user in service",
        404,
        Reaction.CONFIGURATION,
        hint="the user's consent to the service",
    ),
    "1210": _device("Not registered device in service", 404),
    "1211": _device("Not registered device by user", 404),
    "1212": _device("Not owned device", 404),
    "1213": _device("Not registered device", 404, gone=True),
    "1214": _device("Not subscribable device", 404),
    "1216": Code(
        "Incorrect header",
        400,
        Reaction.CONFIGURATION,
        hint="PCC_COUNTRY, PCC_SERVICE_ID or PCC_SERVICE_KEY",
    ),
    "1217": _device("Already device deleted", 400, gone=True),
    "1218": Code("Invalid token", 400, Reaction.CREDENTIALS, hint="the access token"),
    "1219": _device("Not supported model", 406),
    "1220": _device("Not supported feature", 406),
    "1221": _device("Not supported product", 406),
    "1222": Code("Not connected device", 416),
    "1223": Code("Invalid status device", 416),
    "1224": _device("Invalid device Id", 404),
    "1225": Code("Duplicate device id", 400),
    "1301": Code("Invalid service key", 401, Reaction.CONFIGURATION, hint="PCC_SERVICE_KEY"),
    "1302": Code(
        "Not found token",
        401,
        Reaction.CREDENTIALS,
        hint="the access token, which may have expired",
    ),
    "1303": Code(
        "Not found user",
        401,
        Reaction.CONFIGURATION,
        hint="the account's token: LG issued none for this user",
    ),
    "1304": Code(
        "Not acceptable terms",
        401,
        Reaction.CONFIGURATION,
        hint="LG's terms: the user has to accept them",
    ),
    "1305": Code(
        "Not allowed api", 401, Reaction.CONFIGURATION, hint="what LG allows PCC_SERVICE_ID to call"
    ),
    "1306": Code("Exceeded API calls", 401, Reaction.THROTTLED),
    "1307": Code(
        "Not supported country",
        401,
        Reaction.CONFIGURATION,
        hint="PCC_COUNTRY or the account's country",
    ),
    "1308": Code("No control authority", 401),
    "1309": Code(
        "Not allowed api call",
        401,
        Reaction.CONFIGURATION,
        hint="PCC_REGION or PCC_BASE_URL: wrong region?",
    ),
    "1310": Code("Not supported domain", 401, Reaction.CONFIGURATION, hint="PCC_BASE_URL"),
    "1311": Code("Bad request format", 401, Reaction.CONFIGURATION, hint="PCC_BASE_URL"),
    "1312": Code("Exceeded number of event subscription", 400, subscribe=Reaction.FULL),
    "1314": Code("Exceeded User API calls", 401, Reaction.THROTTLED),
    "2000": Code("Internal server error", 500, Reaction.RETRY),
    "2101": Code("Not supported model", 503),
    "2201": Code("Not provided feature", 503),
    "2202": Code("Not supported product", 400),
    "2203": Code("Not exist modelJSON", 503),
    "2205": Code("Invalid device status", 400),
    "2207": Code("Invalid command", 400),
    "2208": Code("Fail device control", 400),
    "2209": Code("Device response delay", 400, Reaction.RETRY),
    "2210": Code("Retry request", 400, Reaction.RETRY),
    "2212": Code("Syncing", 412, Reaction.RETRY),
    "2213": Code("Sync failed, register the device again", 412),
    "2214": Code("Fail request", 400, Reaction.RETRY),
    "2301": Code("Command refused: remote control is off", 400),
    "2302": Code("Command refused: device state", 400),
    "2303": Code("Command refused: device error", 400),
    "2304": Code("Command refused: power off", 400),
    "2305": Code("Command refused: mode", 400),
    "4001": Code("Already subscribed home push", 400),
}
"""Every code that LG publishes or its gateway was seen to answer, and what we do after it."""
