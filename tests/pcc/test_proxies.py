"""Proxies of the environment: which is used, which cannot be, and that nothing of a password is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import addresses
from reconciler.pcc import proxies
from reconciler.pcc.proxies import Proxy, Unusable
from reconciler.telemetry.masking import Masking

LG = "https://kic-ext.lgthinq.com"
WORD = "Pr0xySecretWord"


def used(environ: dict[str, str], address: str = LG) -> str:
    """Return the proxy of an address with user and password, or nothing."""
    found = proxies.read(environ).of(address)
    assert not isinstance(found, Unusable), found
    return found.full_address if found is not None else ""


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://proxy", "http://proxy:80"),
        ("http://proxy:3128/", "http://proxy:3128"),
        ("HTTP://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("user:word@proxy:3128", "http://user:word@proxy:3128"),
        ("http://user:w%40rd@proxy:3128", "http://user:w%40rd@proxy:3128"),
        ("http://user:w@rd@proxy:3128", "http://user:w%40rd@proxy:3128"),
        ("http://user:w#rd@proxy:3128", "http://user:w%23rd@proxy:3128"),
        ("http://user:w/rd@proxy:3128", "http://user:w%2Frd@proxy:3128"),
        ("user:w?rd@proxy:3128", "http://user:w%3Frd@proxy:3128"),
        ('"http://user:word@proxy:3128"', "http://user:word@proxy:3128"),
        ("'proxy:3128'", "http://proxy:3128"),
    ],
)
def test_what_can_be_used_is_used(value: str, meant: str) -> None:
    """An HTTP proxy works with and without its scheme, in quotes, and with any character in its password."""
    assert used({"HTTPS_PROXY": value}) == meant


@pytest.mark.parametrize(
    "scheme", ["https", "socks", "socks4", "socks4a", "socks5", "socks5h", "SOCKS5", "ftp", "x"]
)
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_of_another_kind_is_a_fault_and_not_passed_by(name: str, scheme: str) -> None:
    """The variable is named, and no call goes around its proxy."""
    read = proxies.read({name: f"{scheme}://user:{WORD}@proxy:1080"})
    (fault,) = read.faults
    assert str(fault).startswith(f"{name}: ")
    assert WORD not in str(fault)
    assert isinstance(read.of(LG), Unusable)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "http://proxy:80a",
            "http://proxy:0",
            "http://proxy:65536",
            "http://proxy:999999999999",
            "http://",
            "http://:80",
        ),
        *(
            "proxy:3128:user:word",
            "http://a b:80",
            f"http://user:{WORD}@",
            "http://[::1",
            "http://[nobody]:80",
            "@",
        ),
        *(
            f"http://user%3Aname:{WORD}@proxy:80",
            f"http://user:{WORD}%0Ax@proxy:80",
            "http://proxy:80/path",
            "http://..:80",
        ),
    ],
)
def test_what_is_no_address_is_a_fault(value: str) -> None:
    """A slip of the pen is told by the name of the variable, never by its value."""
    read = proxies.read({"http_proxy": value})
    (fault,) = read.faults
    assert str(fault).startswith("http_proxy: ")
    assert WORD not in str(fault)


def test_lower_case_goes_first_and_an_empty_variable_is_not_set() -> None:
    """As curl takes them. ``all_proxy`` counts where the scheme has no proxy of its own."""
    assert used({"https_proxy": "one:1", "HTTPS_PROXY": "two:2"}) == "http://one:1"
    assert used({"https_proxy": " ", "HTTPS_PROXY": "two:2"}) == "http://two:2"
    assert used({"https_proxy": '""', "ALL_PROXY": "all:3"}) == "http://all:3"
    assert used({"https_proxy": "one:1", "all_proxy": "all:3"}) == "http://one:1"
    assert used({"https_proxy": "one:1"}, "http://127.0.0.1") == ""
    assert used({"http_proxy": "one:1"}) == ""


def test_a_variable_that_names_nothing_of_ours_is_no_fault() -> None:
    """``all_proxy`` beside proxies for both schemes is used by nobody here; nor is anything where all is excepted."""
    both = {"http_proxy": "one:1", "https_proxy": "one:1", "all_proxy": "socks5://socks:1080"}
    assert proxies.read(both).faults == ()
    assert proxies.read({"all_proxy": "socks5://socks:1080", "NO_PROXY": "*"}).faults == ()


@pytest.mark.parametrize(
    ("exception", "host"),
    [
        ("*", "kic-ext.lgthinq.com"),
        ("lgthinq.com", "kic-ext.lgthinq.com"),
        (".lgthinq.com", "kic-ext.lgthinq.com"),
        (".lgthinq.com", "lgthinq.com"),
        ("*.lgthinq.com", "kic-ext.lgthinq.com"),
        ("LGTHINQ.com", "kic-ext.lgthinq.com"),
        ("other, lgthinq.com", "kic-ext.lgthinq.com"),
        ("other lgthinq.com", "kic-ext.lgthinq.com"),
        ("lgthinq.com:443", "kic-ext.lgthinq.com"),
        ("lgthinq.com.", "kic-ext.lgthinq.com"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:443", "10.1.2.3"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1]:443", "[::1]"),
        ("fe80::/10", "[fe80::1]"),
    ],
)
def test_exceptions_are_called_directly(exception: str, host: str) -> None:
    """Names with all below them, addresses, networks and ports, in either case."""
    for name in ("no_proxy", "NO_PROXY"):
        assert used({"https_proxy": "proxy:1", name: exception}, f"https://{host}") == ""


@pytest.mark.parametrize(
    ("exception", "host"),
    [
        ("thinq.com", "kic-ext.lgthinq.com"),
        ("lgthinq.com:8443", "kic-ext.lgthinq.com"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("1.2.3", "10.1.2.3"),
        ("0.0.0.0/x", "10.1.2.3"),
        (".", "kic-ext.lgthinq.com"),
        ("::1", "[::2]"),
    ],
)
def test_what_an_exception_does_not_mean_goes_through_the_proxy(exception: str, host: str) -> None:
    """Half a name is no name."""
    assert (
        used({"https_proxy": "proxy:1", "NO_PROXY": exception}, f"https://{host}")
        == "http://proxy:1"
    )


password = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=20)


@given(
    word=password,
    form=st.sampled_from(
        ["http://svc:{}@h:9", "svc:{}@h:9", '"http://svc:{}@h:9"', "socks5://svc:{}@h", "{}@h:x"]
    ),
)
def test_no_password_survives_the_masking(word: str, form: str) -> None:
    """Whatever characters it has, and wherever a parser would cut it, a password is hidden whole and in parts."""
    read = proxies.read({"HTTPS_PROXY": form.format(word)})
    masking = Masking()
    masking.know(read.secrets)
    assert word not in masking.text(f"words before {word} and after")
    for piece in addresses._PIECES.findall(word):
        if len(piece) >= addresses.SHORTEST_PART:
            assert piece not in masking.text(f"Cannot connect to host {piece}:80")
    assert word not in repr(read)
    found = read.of(LG)
    assert isinstance(found, Unusable) or word not in str(found)


@given(word=password, user=st.sampled_from(["svc", "someone-with-a-name"]))
def test_a_password_means_the_same_as_it_is_typed_and_encoded(word: str, user: str) -> None:
    """A password with reserved characters reaches the proxy as it was typed, unless it holds an escape."""
    if "%" in word:
        return
    found = proxies.read({"https_proxy": f"http://{user}:{word}@proxy:3128"}).of(LG)
    assert isinstance(found, Proxy)
    assert (found.user, found.password, found.host, found.port) == (user, word, "proxy", 3128)
