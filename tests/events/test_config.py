"""The events file: what it says, and every fault in it at once with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import rtoml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.config import (
    LARGEST,
    STREAM_CONCURRENCY,
    EventsConfig,
    Order,
    RetentionConfig,
    SinkConfig,
    SinkType,
    read_config,
)
from reconciler.events.model import Category

EXAMPLE = """\
version = 1
logic = "logic/"
locales = ["ko", "en"]

[sinks.crm]
type = "http"
url = "https://crm.example.com/pcc"
signing_secret_file = "/run/secrets/crm"
authorization_file = "crm-token"
categories = ["malfunction", "maintenance"]
accounts = ["seoul-*"]
push_types = ["PCC_EVENT", "DEVICE_UNREGISTERED"]
order = "none"
concurrency = 3
give_up_after = "24h"

[sinks.log]
type = "stream"
path = "events.jsonl"

[retention]
bodies = "3d"
keys = "60d"
quarantine = "14d"
"""

EVERY_FAULT = """\
vesion = 1
locales = ["ko", "ko", 3]
[sinks.Crm]
type = "htp"
[sinks.crm]
type = "http"
categories = ["malfuntion", "maintenance"]
accounts = ["Seoul-*"]
give_up_after = "72"
order = "devices"
concurrency = 0
ulr = 3
[sinks.none]
[sinks.a]
type = "stream"
path = "x"
url = "https://crm.example.com/pcc"
push_types = []
[sinks.b]
type = "stream"
path = "x"
[sinks.c]
type = "http"
url = "https://somebody:hunter22@crm.example.com"
[retention]
bodies = 7
key = "1d"
"""

CATEGORY_WORDS = "must be installation, misuse, malfunction, maintenance or part_inquiry"
KEYS_WORDS = "keys must be kept at least as long as bodies: they tell which body is a duplicate"


def faults(text: str) -> list[str]:
    """Return the faults of an events file, as they are printed."""
    return [str(fault) for fault in read_config("events.toml", text.encode()).faults]


def one_sink(line: str) -> str:
    """Return a file with one HTTP sink that has one more line, its sixth."""
    return f'version = 1\n\n[sinks.crm]\ntype = "http"\nurl = "https://crm.example.com"\n{line}\n'


def test_every_key_is_read() -> None:
    """What the file says is what the values say, with paths beside the file."""
    reading = read_config("conf/events.toml", EXAMPLE.encode())
    assert reading.faults == ()
    assert reading.warnings == ()
    assert reading.config == EventsConfig(
        sinks={
            "crm": SinkConfig(
                name="crm",
                type=SinkType.HTTP,
                url="https://crm.example.com/pcc",
                signing_secret_file=Path("/run/secrets/crm"),
                authorization_file=Path("conf/crm-token"),
                categories=frozenset({Category.MALFUNCTION, Category.MAINTENANCE}),
                accounts=("seoul-*",),
                push_types=frozenset({"PCC_EVENT", "DEVICE_UNREGISTERED"}),
                order=Order.NONE,
                concurrency=3,
                give_up_after=timedelta(hours=24),
            ),
            "log": SinkConfig(
                "log",
                SinkType.STREAM,
                path=Path("conf/events.jsonl"),
                concurrency=STREAM_CONCURRENCY,
            ),
        },
        logic=Path("conf/logic"),
        locales=("ko", "en"),
        retention=RetentionConfig(timedelta(days=3), timedelta(days=60), timedelta(days=14)),
    )


HEADS = {
    "http": '[sinks.one]\ntype = "http"\nurl = "https://crm.example.com"\n',
    "stream": '[sinks.one]\ntype = "stream"\n',
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('categories = ["misuse"]', {"categories": frozenset({Category.MISUSE})}),
        ('accounts = ["seoul-*", "busan"]', {"accounts": ("seoul-*", "busan")}),
        ('push_types = ["DEVICE_STATUS"]', {"push_types": frozenset({"DEVICE_STATUS"})}),
        ('give_up_after = "2h"', {"give_up_after": timedelta(hours=2)}),
    ],
)
def test_what_every_sink_may_say_counts_for_every_kind(
    kind: str, line: str, value: dict[str, Any]
) -> None:
    """A filter, or when to give up, changes that one value of a sink, whatever its kind."""
    plain, said = (
        read_config("events.toml", f"version = 1\nlogic = 'logic'\n{HEADS[kind]}{more}".encode())
        for more in ("", line)
    )
    assert plain.config is not None
    assert said.config is not None
    assert said.config.sinks["one"] == replace(plain.config.sinks["one"], **value)
    assert said.config.sinks["one"] != plain.config.sinks["one"]


def test_keys_may_be_kept_just_as_long_as_bodies() -> None:
    """Only keys that go before their bodies are a fault."""
    same, shorter = (
        read_config(
            "events.toml", f'version = 1\n[retention]\nbodies = "9d"\nkeys = "{days}d"'.encode()
        )
        for days in (9, 8)
    )
    assert same.faults == ()
    assert [fault.message for fault in shorter.faults] == [KEYS_WORDS]


def test_all_but_type_and_address_may_be_left_out() -> None:
    """Defaults are those that the documents name."""
    config = read_config("events.toml", one_sink("").encode()).config
    assert config is not None
    assert config.retention == RetentionConfig()
    assert config.logic is None
    assert config.sinks["crm"] == SinkConfig(
        "crm", SinkType.HTTP, url="https://crm.example.com", concurrency=8
    )


def test_a_file_without_a_sink_is_right() -> None:
    """Events are then kept and shown."""
    assert read_config("events.toml", b"version = 1\n").config == EventsConfig()


def test_every_fault_is_reported_at_once() -> None:
    """Each fault has its line and column, and near words are suggested."""
    assert faults(EVERY_FAULT) == [
        "events.toml:1:1: unknown key 'vesion'; did you mean 'version'?",
        "events.toml:1:1: version is missing",
        "events.toml:2:1: locales needs logic: the folder of the messages in these locales",
        "events.toml:2:18: this locale is listed twice",
        "events.toml:2:24: a locale is written like ko, en or pt-BR",
        "events.toml:3:8: a sink's name is 1 to 63 of a-z, 0-9, - and _, and begins and ends with a letter or digit",
        'events.toml:4:8: must be "http" or "stream"; did you mean \'http\'?',
        "events.toml:5:1: url is missing",
        f"events.toml:7:15: {CATEGORY_WORDS}; did you mean 'malfunction'?",
        "events.toml:8:13: no account matches this: a pattern is made of a-z, 0-9, - and *, ? or [...], like seoul-*",
        "events.toml:9:17: a duration is written like 90s, 10m, 1h30m or 7d",
        'events.toml:10:9: must be "device" or "none"',
        "events.toml:11:15: is too small",
        "events.toml:12:1: unknown key 'ulr'; did you mean 'url'?",
        "events.toml:13:1: type is missing",
        "events.toml:17:1: unknown key 'url'",
        "events.toml:18:14: must not be empty",
        "events.toml:21:8: the sink 'a' writes to this file already",
        "events.toml:24:7: must hold no user and no password: this file is no place for secrets",
        'events.toml:26:10: must be a duration in quotes, like "90s", "10m", "1h30m" or "7d"',
        "events.toml:27:1: unknown key 'key'; did you mean 'keys'?",
    ]


def test_no_fault_repeats_a_secret() -> None:
    """An address may hold a password, wherever it was pasted."""
    password = "hunter22"
    for address in (
        f"https://somebody:{password}@crm.example.com",
        f"https://crm.example.com:{password}/",
        f"ftp://{password}",
        f"https://[{password}/",
    ):
        found = faults(
            one_sink(f'signing_secret_file = "\\u0007{password}"\n').replace(
                "https://crm.example.com", address
            )
        )
        assert len(found) == 2
        assert password not in "".join(found)


@pytest.mark.parametrize(
    ("address", "right"),
    [
        ("https://crm.example.com", True),
        ("https://crm.example.com:8443/a/b?tenant=7", True),
        ("http://127.0.0.1:9000/", True),
        ("http://[::1]:9000/", True),
        ("http://localhost", True),
        ("http://crm.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://", False),
        ("https://crm.example.com:70000", False),
        ("https://crm.example.com/#here", False),
        ("https://crm example.com", False),
        ("crm.example.com", False),
    ],
)
def test_addresses_are_https_or_loopback(address: str, *, right: bool) -> None:
    """Diagnoses of named rooms do not cross a network in the clear."""
    found = faults(one_sink("").replace("https://crm.example.com", address))
    assert (found == []) is right
    assert all(fault.startswith("events.toml:5:7: ") for fault in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("categories = []", "6:14: must not be empty"),
        ("categories = [3]", "6:15: must be text in quotes"),
        ("accounts = 'seoul-*'", "6:12: must be an array"),
        ("give_up_after = '1s'", "6:17: must be from 1 minute to 3650 days"),
        ("concurrency = 65", "6:15: is too large"),
        ("concurrency = true", "6:15: must be a whole number"),
        ("path = 'x'", "6:1: unknown key 'path'"),
        ("push_types = ['']", "6:15: must be a push type of LG's, like PCC_EVENT or DEVICE_STATUS"),
        ("[retention]\nkeys = '1d'", f"7:8: {KEYS_WORDS}"),
    ],
)  # fmt: skip
def test_single_values_are_bounded(line: str, message: str) -> None:
    """Each value outside its bounds is one fault at its place."""
    assert faults(one_sink(line)) == [f"events.toml:{message}"]


def test_what_is_no_toml_is_one_fault() -> None:
    """Files of another kind are named for what they are."""
    assert faults("version = \n")[0].startswith("events.toml:1:")
    assert faults("") == ["events.toml:1:1: the file is empty: version = 1 is missing"]
    utf16 = read_config("events.toml", "version = 1".encode("utf-16")).faults
    assert "UTF-16" in utf16[0].message
    large = read_config("events.toml", b"#" * (LARGEST + 1)).faults
    assert [str(fault) for fault in large] == ["events.toml: is larger than 1 MB"]


def test_a_newer_version_is_refused_by_its_number() -> None:
    """Nothing else of such a file is judged."""
    assert faults("version = 2\nbrokers = 3\n") == [
        "events.toml:1:11: this program reads version 1 of the events file, not this one"
    ]


def test_what_is_likely_not_meant_is_a_warning() -> None:
    """A filter that cannot judge anything, and a push type near the one that LG documents, are in force and named."""
    text = one_sink('categories = ["misuse"]\npush_types = ["PCC_EVENTS"]')
    reading = read_config("events.toml", text.encode())
    assert reading.config is not None
    assert [str(warning) for warning in reading.warnings] == [
        "events.toml:6:14: without logic no category is known, so this filter lets everything pass",
        "events.toml:7:15: LG sends no such push type; did you mean 'PCC_EVENT'?",
    ]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise(content: bytes) -> None:
    """Whatever the bytes, there is a config or there are faults, never both and never neither."""
    reading = read_config("events.toml", content)
    assert (reading.config is None) == bool(reading.faults)


@given(
    st.recursive(
        st.integers() | st.booleans() | st.text("[]{}'\"=.a1", max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "url", "x"]), inner)
        ),
        max_leaves=8,
    ),
    st.sampled_from(
        ["version", "logic", "locales", "sinks", "retention", "sinks.a", "sinks.a.type"]
    ),
)
def test_no_value_raises(value: object, key: str) -> None:
    """Any value in any place is taken or is a fault with a place."""
    inner: object = value
    for part in reversed(key.split(".")):
        inner = {part: inner}
    assert isinstance(inner, dict)
    content = rtoml.dumps({"version": 1, **inner}).encode()
    reading = read_config("events.toml", content)
    assert (reading.config is None) == bool(reading.faults)
    assert all(fault.line for fault in reading.faults)
