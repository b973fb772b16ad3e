"""Where credentials come from, whose they are, and what is told when one is not usable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from reconciler.core.model import AccountName
from reconciler.pcc import checks, credentials, regions, secret_files
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.credentials import Credentials, Shared
from reconciler.pcc.regions import Phase, Region
from reconciler.pcc.secret_files import Given, SecretReader

DEFAULT = AccountName("default")
SEOUL = AccountName("seoul-hotel")
BUSAN = AccountName("busan-hotel")
TOKEN = "0123456789abcdef"

SERVICE = Shared(
    service_id=Given("PCC_SERVICE_ID", SecretStr("service-of-ours")),
    service_key=Given("PCC_SERVICE_KEY", SecretStr("key-of-our-service")),
    client_id=Given("PCC_CLIENT_ID", SecretStr("our-app")),
    country="KR",
)


def with_tokens(shared: Shared, access: str | None = None, refresh: str | None = None) -> Shared:
    """Return the service's own values with user tokens of ``default``."""
    return replace(
        shared,
        access_token=Given("PCC_ACCESS_TOKEN", None if access is None else SecretStr(access)),
        refresh_token=Given("PCC_REFRESH_TOKEN", None if refresh is None else SecretStr(refresh)),
    )


def folder(path: Path, files: Mapping[str, str]) -> Path:
    """Make a credentials folder with these files in it."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def one(
    store: CredentialStore, account: AccountName = SEOUL, country: str | None = None
) -> Credentials:
    """Return the credentials of one account, which has to have them."""
    found = store.read({account: country})[account]
    assert isinstance(found, Credentials), found
    return found


def fault(store: CredentialStore, account: AccountName = SEOUL, country: str | None = None) -> str:
    """Return the sentence about one account, which has to have none."""
    found = store.read({account: country})[account]
    assert isinstance(found, str)
    return found


def token(found: Credentials | str) -> str:
    """Return an access token in the open."""
    assert isinstance(found, Credentials), found
    assert found.access_token is not None
    return found.access_token.get_secret_value()


# --- Whose they are --------------------------------------------------------------------------------------------------


def test_one_account_lives_from_the_environment_alone() -> None:
    """The account default needs no folder."""
    found = one(CredentialStore(with_tokens(SERVICE, access=TOKEN), None), DEFAULT)
    assert found == Credentials(
        account=DEFAULT,
        base_url="https://kic-ext.lgthinq.com",
        country="KR",
        service_id=SecretStr("service-of-ours"),
        service_key=SecretStr("key-of-our-service"),
        client_id="our-app",
        token_url=None,
        backend_url=None,
        access_token=SecretStr(TOKEN),
        refresh_token=None,
    )


def test_user_tokens_never_fall_back_to_another_account() -> None:
    """A named account without a token of its own does not act as the user of default."""
    found = CredentialStore(with_tokens(SERVICE, TOKEN, TOKEN), None).read(
        {DEFAULT: None, SEOUL: None}
    )
    assert isinstance(found[DEFAULT], Credentials)
    assert found[SEOUL] == (
        "no user token: put seoul-hotel.access_token or seoul-hotel.refresh_token into a folder that you name in"
        " PCC_CREDENTIALS_DIR"
    )


def test_a_secret_is_checked_by_what_it_is_for(tmp_path: Path) -> None:
    """Seven characters are no secret, and may be all that another value needs."""
    path = tmp_path / "secret"
    path.write_text("seven77\n")
    given = Given("PCC_SOMETHING", path=path)
    assert "fewer than 8 characters" in str(SecretReader(given).read())
    other = SecretReader(given, check=checks.check_printable).read()
    assert isinstance(other, SecretStr)
    assert other.get_secret_value() == "seven77"


def test_a_file_that_is_put_in_place_of_another_is_read_whatever_its_date(tmp_path: Path) -> None:
    """Tools that unpack a backup restore dates, and tokens are all of one length."""
    given = folder(tmp_path, {f"{SEOUL}.access_token": TOKEN})
    path, long_ago = tmp_path / f"{SEOUL}.access_token", (1_600_000_000, 1_600_000_000)
    os.utime(path, long_ago)
    store = CredentialStore(SERVICE, given)
    assert [token(one(store)), token(one(store))] == [TOKEN, TOKEN]
    fresh = tmp_path / "fresh"
    fresh.write_text(TOKEN[::-1])
    os.utime(fresh, long_ago)
    fresh.replace(path)
    assert token(one(store)) == TOKEN[::-1]


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("by", ["value", "path"])
def test_an_account_is_known_by_either_of_its_tokens(by: str, kind: str, tmp_path: Path) -> None:
    """Whoever has a token is known before a file names it; other parts alone make no account."""
    files = {f"{SEOUL}.{kind}": TOKEN, f"{BUSAN}.service_key": TOKEN, "notes.txt": "", kind: TOKEN}
    given = folder(tmp_path, files)
    assert CredentialStore(SERVICE, given).accounts() == {SEOUL}
    own = Given(kind, SecretStr(TOKEN)) if by == "value" else Given(kind, path=tmp_path / kind)
    is_access = kind == "access_token"
    shared = (
        replace(SERVICE, access_token=own) if is_access else replace(SERVICE, refresh_token=own)
    )
    assert CredentialStore(shared, given).accounts() == {SEOUL, DEFAULT}
    assert CredentialStore(shared, None).accounts() == {DEFAULT}
    store = CredentialStore(SERVICE, given)
    store.read({})
    (tmp_path / f"{BUSAN}.{kind}").write_text(TOKEN)
    assert store.accounts() == {SEOUL, BUSAN}


def test_each_account_reads_its_own_files(tmp_path: Path) -> None:
    """Two accounts in one folder get what their own files say, without the line ends."""
    files = {
        "seoul-hotel.access_token": "seoul-token\n",
        "busan-hotel.access_token": "busan-token\r\n",
    }
    found = CredentialStore(SERVICE, folder(tmp_path, files)).read({SEOUL: None, BUSAN: None})
    assert (token(found[SEOUL]), token(found[BUSAN])) == ("seoul-token", "busan-token")


def test_every_file_goes_before_the_services_own(tmp_path: Path) -> None:
    """An account may differ from the others in everything."""
    files = {
        "access_token": "access-of-seoul",
        "refresh_token": "refresh-of-seoul",
        "service_id": "id",
        "service_key": "key-of-seoul",
        "client_id": "app-of-seoul",
        "token_url": "https://token.test/",
        "backend_url": "https://backend.test",
        "country": "DE",
        "base_url": "https://lg.test/",
    }
    assert files.keys() == set(credentials.FILES)
    shared = with_tokens(SERVICE, TOKEN, TOKEN)
    found = one(
        CredentialStore(
            shared, folder(tmp_path, {f"{SEOUL}.{kind}": text for kind, text in files.items()})
        )
    )
    assert found == Credentials(
        account=SEOUL,
        base_url="https://lg.test",
        country="DE",
        service_id=SecretStr("id"),
        service_key=SecretStr("key-of-seoul"),
        client_id="app-of-seoul",
        token_url="https://token.test",
        backend_url="https://backend.test",
        access_token=SecretStr("access-of-seoul"),
        refresh_token=SecretStr("refresh-of-seoul"),
    )


def test_tokens_of_two_users_do_not_mix_in_default(tmp_path: Path) -> None:
    """A token file of default replaces the pair of the environment, not only the one of its kind."""
    store = CredentialStore(
        with_tokens(SERVICE, refresh="refresh-of-another"),
        folder(tmp_path, {"default.access_token": TOKEN}),
    )
    assert one(store, DEFAULT).refresh_token is None


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_accounts_that_share_a_token_are_both_stopped(tmp_path: Path, kind: str) -> None:
    """Each of the two would unsubscribe the other's devices, so neither goes on, and each names the other."""
    files = {
        f"seoul-hotel.{kind}": TOKEN,
        f"busan-hotel.{kind}": f"{TOKEN}\n",
        "other.access_token": "another-token",
    }
    other = AccountName("other")
    found = CredentialStore(SERVICE, folder(tmp_path, files)).read(
        {SEOUL: None, BUSAN: None, other: None}
    )
    words = kind.replace("_", " ")
    assert str(found[SEOUL]).startswith(
        f"has the same {words} as account 'busan-hotel': each would unsubscribe"
    )
    assert str(found[BUSAN]).startswith(
        f"has the same {words} as account 'seoul-hotel': each would unsubscribe"
    )
    assert isinstance(found[other], Credentials)


def test_a_shared_token_is_found_between_environment_and_folder(tmp_path: Path) -> None:
    """It does not matter where the two accounts have the token from."""
    store = CredentialStore(
        with_tokens(SERVICE, TOKEN), folder(tmp_path, {"seoul-hotel.access_token": TOKEN})
    )
    assert all(
        isinstance(found, str) for found in store.read({DEFAULT: None, SEOUL: None}).values()
    )
    assert isinstance(store.read({SEOUL: None})[SEOUL], Credentials)


def test_a_shared_token_counts_even_where_the_other_account_is_faulty(tmp_path: Path) -> None:
    """An account that is stopped for another reason may start at any time, so its token is in use."""
    files = {
        "seoul-hotel.access_token": TOKEN,
        "busan-hotel.access_token": TOKEN,
        "busan-hotel.service_key": "short",
    }
    found = CredentialStore(SERVICE, folder(tmp_path, files)).read({SEOUL: None, BUSAN: None})
    assert "account 'busan-hotel'" in str(found[SEOUL])
    assert str(found[BUSAN]).startswith(
        "busan-hotel.service_key in PCC_CREDENTIALS_DIR has fewer than 8 characters; "
    )


def test_many_accounts_with_one_token_are_counted_not_listed(tmp_path: Path) -> None:
    """A sentence stays a sentence when a thousand accounts were given one token."""
    accounts = {AccountName(f"a{number}"): None for number in range(9)}
    found = CredentialStore(
        SERVICE, folder(tmp_path, {f"{name}.access_token": TOKEN for name in accounts})
    ).read(accounts)
    assert "as account 'a1', account 'a2', account 'a3' and 5 more: " in str(
        found[AccountName("a0")]
    )


# --- Renewal, country, host ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "country", "expected"),
    [
        (Phase.OP, "KR", "https://kr.m.lgaccount.com/emp/v2/token"),
        (Phase.QA, "DE", "https://qt-de.m.lgaccount.com/emp/v2/token"),
    ],
)
def test_a_refresh_token_is_renewed_where_its_country_is(
    phase: Phase, country: str, expected: str
) -> None:
    """Without a token_url, LG's host follows from country and phase."""
    store = CredentialStore(replace(with_tokens(SERVICE, refresh=TOKEN), phase=phase), None)
    assert one(store, DEFAULT, country).token_url == expected


def test_the_services_own_addresses_are_used_where_the_account_has_none() -> None:
    """PCC_TOKEN_URL and PCC_BACKEND_URL hold for every account."""
    shared = replace(
        with_tokens(SERVICE, refresh=TOKEN),
        token_url="https://token.test",
        backend_url="https://b.test",
    )
    found = one(CredentialStore(shared, None), DEFAULT)
    assert (found.token_url, found.backend_url) == ("https://token.test", "https://b.test")


def test_a_refresh_token_needs_a_client_id(tmp_path: Path) -> None:
    """What renewal will need is told now, not in an hour."""
    store = CredentialStore(
        replace(SERVICE, client_id=Given("PCC_CLIENT_ID")),
        folder(tmp_path, {"seoul-hotel.refresh_token": TOKEN}),
    )
    assert fault(store) == (
        "no client id (a refresh token needs one): set PCC_CLIENT_ID, "
        "or put seoul-hotel.client_id into PCC_CREDENTIALS_DIR"
    )


def test_the_text_names_the_country_before_file_and_setting(tmp_path: Path) -> None:
    """Country comes from the text, else the account's file, else the service's setting."""
    path = folder(tmp_path, {"seoul-hotel.access_token": TOKEN, "seoul-hotel.country": "DE"})
    store = CredentialStore(SERVICE, path)
    assert one(store, country="US").country == "US"
    assert one(store).country == "DE"
    (path / "seoul-hotel.country").unlink()
    assert one(store).country == "KR"


def test_a_missing_country_is_told_with_every_place_for_it(tmp_path: Path) -> None:
    """Without a country no call can be made."""
    store = CredentialStore(
        replace(SERVICE, country=None), folder(tmp_path, {"seoul-hotel.access_token": TOKEN})
    )
    assert fault(store) == (
        "no country: give the account one in the file, set PCC_COUNTRY, or put seoul-hotel.country into"
        " PCC_CREDENTIALS_DIR"
    )


@pytest.mark.parametrize("country", ["kr", "KOR", "K", "한국"])
def test_a_country_in_another_form_is_told(tmp_path: Path, country: str) -> None:
    """LG wants two upper-case letters."""
    store = CredentialStore(
        SERVICE,
        folder(tmp_path, {"seoul-hotel.access_token": TOKEN, "seoul-hotel.country": country}),
    )
    assert fault(store).startswith(
        "seoul-hotel.country in PCC_CREDENTIALS_DIR has to be two upper-case letters"
    )


@pytest.mark.parametrize(
    ("country", "region", "phase", "expected"),
    [
        ("KR", None, Phase.OP, "https://kic-ext.lgthinq.com"),
        ("DE", None, Phase.OP, "https://eic-ext.lgthinq.com"),
        ("ZA", None, Phase.QA, "https://eic-qa-ext.lgthinq.com"),
        ("BR", None, Phase.OP, "https://aic-ext.lgthinq.com"),
        ("BR", Region.KIC, Phase.QA, "https://kic-qa-ext.lgthinq.com"),
        ("AQ", Region.AIC, Phase.OP, "https://aic-ext.lgthinq.com"),
    ],
)
def test_the_host_follows_from_region_and_phase(
    country: str, region: Region | None, phase: Phase, expected: str
) -> None:
    """PCC_REGION, else the country, says which of LG's clouds is called."""
    store = CredentialStore(replace(with_tokens(SERVICE, TOKEN), region=region, phase=phase), None)
    assert one(store, DEFAULT, country).base_url == expected


def test_a_country_without_a_region_names_the_settings() -> None:
    """For a country that LG's own client does not know, a person says which cloud it is."""
    store = CredentialStore(with_tokens(SERVICE, TOKEN), None)
    assert fault(store, DEFAULT, "AQ").endswith("is not known: set PCC_REGION or PCC_BASE_URL")


def test_the_services_base_url_holds_for_all() -> None:
    """PCC_BASE_URL goes before region and country."""
    store = CredentialStore(
        replace(with_tokens(SERVICE, TOKEN), base_url="http://127.0.0.1:9"), None
    )
    assert one(store, DEFAULT, "AQ").base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("kind", ["base_url", "token_url"])
def test_an_accounts_own_address_is_judged_like_the_setting(tmp_path: Path, kind: str) -> None:
    """A file cannot send keys over plain http where the setting could not."""
    path = folder(
        tmp_path, {"seoul-hotel.refresh_token": TOKEN, f"seoul-hotel.{kind}": "http://lg.test"}
    )
    assert "has to be https" in fault(CredentialStore(SERVICE, path))
    assert isinstance(one(CredentialStore(replace(SERVICE, allow_http=True), path)), Credentials)


def test_each_country_has_one_region() -> None:
    """The map of countries has no country twice and nothing that is not a country code."""
    countries = [country for names in regions._COUNTRIES.values() for country in names.split()]
    assert len(countries) == len(set(countries)) == 162
    assert all(checks.check_country(country) for country in countries)
    assert [regions.region_of(country) for country in ("JP", "US", "GB")] == [
        Region.KIC,
        Region.AIC,
        Region.EIC,
    ]


# --- Faults ----------------------------------------------------------------------------------------------------------


def test_everything_that_is_missing_is_told_at_once() -> None:
    """An account without anything reads all it needs in one go."""
    assert fault(CredentialStore(Shared(), None), DEFAULT) == (
        "missing: service id (PCC_SERVICE_ID), service key (PCC_SERVICE_KEY), "
        "user token (PCC_ACCESS_TOKEN or PCC_REFRESH_TOKEN), country (PCC_COUNTRY); "
        "each may also be in a folder that you name in PCC_CREDENTIALS_DIR, as files like default.service_id"
    )
    assert fault(CredentialStore(Shared(), None), SEOUL).startswith(
        "missing: service id (PCC_SERVICE_ID), service key (PCC_SERVICE_KEY), "
        "user token (file seoul-hotel.access_token or file seoul-hotel.refresh_token), country (PCC_COUNTRY)"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"short", "has fewer than 8 characters"),
        (b"\xff\xfe-not-text", "is not UTF-8 text"),
        (b"line-one-\nline-two-", "has characters that a header cannot carry"),
        (b" begins-with-space", "has characters that a header cannot carry"),
        ("토큰-토큰-토큰-토큰".encode(), "has characters that a header cannot carry"),
        (b"x" * (secret_files.LARGEST + 1), "is too big for a credential"),
    ],
)
def test_an_unusable_file_stops_its_own_account_only(
    tmp_path: Path, content: bytes, words: str
) -> None:
    """What is wrong with a file is told to its account, without its content; the other account goes on."""
    path = folder(tmp_path, {"busan-hotel.access_token": TOKEN})
    (path / "seoul-hotel.access_token").write_bytes(content)
    found = CredentialStore(SERVICE, path).read({SEOUL: None, BUSAN: None})
    told = found[SEOUL]
    assert isinstance(told, str)
    assert told.startswith(f"seoul-hotel.access_token in PCC_CREDENTIALS_DIR {words}")
    assert len(told) < 200
    assert token(found[BUSAN]) == TOKEN


def test_what_is_not_a_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe or a folder in place of a file is told, and nothing waits for it."""
    os.mkfifo(tmp_path / "seoul-hotel.access_token")
    (tmp_path / "busan-hotel.access_token").mkdir()
    found = CredentialStore(SERVICE, tmp_path).read({SEOUL: None, BUSAN: None})
    for account in (SEOUL, BUSAN):
        assert (
            found[account] == f"{account}.access_token in PCC_CREDENTIALS_DIR is not a regular file"
        )


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    """A key that went out of a mounted Secret leaves such a link for a moment."""
    (tmp_path / "seoul-hotel.access_token").symlink_to("..data/seoul-hotel.access_token")
    assert fault(CredentialStore(SERVICE, tmp_path)).endswith(
        "cannot be read: No such file or directory"
    )


def test_without_its_folder_every_account_stops_and_comes_back(tmp_path: Path) -> None:
    """While the folder cannot be read nobody knows what it would override; when it is back, all is as before."""
    path = tmp_path / "credentials"
    store = CredentialStore(with_tokens(SERVICE, TOKEN), path)
    words = "the folder that PCC_CREDENTIALS_DIR names cannot be read: No such file or directory"
    assert fault(store, DEFAULT) == words
    assert fault(store, DEFAULT) == words
    assert store.warnings() == (words,)
    path.mkdir()
    assert token(one(store, DEFAULT)) == TOKEN


@given(content=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_sentence_never_shows_what_a_file_holds(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    """Whatever stands in the files of an account, it is used, or refused without being repeated."""
    path = tmp_path_factory.mktemp("credentials")
    for kind in credentials.FILES:
        (path / f"seoul-hotel.{kind}").write_text(f"Xyzzy{content}Xyzzy", encoding="utf-8")
    assert "Xyzzy" not in fault(CredentialStore(SERVICE, path))


def test_credentials_do_not_show_their_secrets() -> None:
    """Credentials that end up in a traceback show neither key nor token."""
    shown = repr(
        one(
            CredentialStore(with_tokens(SERVICE, "access-of-default", "refresh-of-default"), None),
            DEFAULT,
        )
    )
    assert not any(
        secret in shown for secret in ("access-of", "refresh-of", "key-of", "service-of")
    )


@given(text=st.text())
def test_what_passes_as_a_secret_can_be_sent_in_a_header(text: str) -> None:
    """A value that is accepted is visible ASCII, and never makes the HTTP library fail."""
    try:
        accepted = checks.check_secret(text)
    except ValueError:
        return
    assert accepted == text == text.strip()
    assert accepted.isascii()
    assert accepted.isprintable()


# --- Change ----------------------------------------------------------------------------------------------------------


class CountedTime:
    """A clock far after every file was written, so that stats can be trusted."""

    def __call__(self) -> float:
        """Return a moment in a far future."""
        return 1e12


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    """The same stat gives the same object; a file with other content and the old stat is not even opened."""
    path = folder(tmp_path, {"seoul-hotel.access_token": "first-token"})
    file = path / "seoul-hotel.access_token"
    before = file.stat()
    store = CredentialStore(SERVICE, path, wall=CountedTime())
    first = one(store)
    file.write_text("other-token")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert one(store) is first
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert token(one(store)) == "other-token"


def test_a_second_write_within_one_tick_is_seen(tmp_path: Path) -> None:
    """A file that was written just now is read again although its stat is the same."""
    path = folder(tmp_path, {"seoul-hotel.access_token": "first-token"})
    file = path / "seoul-hotel.access_token"
    before = file.stat()
    store = CredentialStore(SERVICE, path, wall=lambda: before.st_mtime + 0.001)
    assert token(one(store)) == "first-token"
    file.write_text("other-token")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert token(one(store)) == "other-token"


def test_reading_again_gives_the_same_object(tmp_path: Path) -> None:
    """Whether an account's credentials changed is a question of identity, also for a file that was touched."""
    path = folder(tmp_path, {"seoul-hotel.access_token": TOKEN})
    store = CredentialStore(SERVICE, path)
    first = one(store)
    os.utime(path / "seoul-hotel.access_token")
    assert one(store) is first
    assert one(store, country="US") is not first


def test_accounts_come_and_go(tmp_path: Path) -> None:
    """A file may be there before its account, and an account before its file."""
    path = folder(tmp_path, {"busan-hotel.access_token": TOKEN})
    store = CredentialStore(SERVICE, path)
    assert isinstance(store.read({SEOUL: None})[SEOUL], str)
    assert store.read({BUSAN: None}).keys() == {BUSAN}
    folder(path, {"seoul-hotel.access_token": "seoul-token"})
    found = store.read({SEOUL: None, BUSAN: None})
    assert (token(found[SEOUL]), token(found[BUSAN])) == ("seoul-token", TOKEN)
    (path / "seoul-hotel.access_token").unlink()
    assert "no user token" in fault(store)


def test_a_swapped_kubernetes_secret_is_seen(tmp_path: Path) -> None:
    """A mounted Secret is a folder of links through ``..data``, which is swapped as a whole."""
    for version, text in (("..2026_01", "first-token"), ("..2026_02", "second-token")):
        folder(tmp_path / version, {"seoul-hotel.access_token": text})
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "seoul-hotel.access_token").symlink_to("..data/seoul-hotel.access_token")
    store = CredentialStore(SERVICE, tmp_path, wall=CountedTime())
    assert token(one(store)) == "first-token"
    (tmp_path / "..data_tmp").symlink_to("..2026_02")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert token(one(store)) == "second-token"
    assert store.warnings() == ()


def test_the_services_own_files_are_read_again(tmp_path: Path) -> None:
    """A key file that is replaced counts from the next read on, for every account; one that goes stops them."""
    file = folder(tmp_path, {"key": "first-key-of-ours\n"}) / "key"
    shared = replace(with_tokens(SERVICE, TOKEN), service_key=Given("PCC_SERVICE_KEY", path=file))
    store = CredentialStore(shared, None)
    assert one(store, DEFAULT).service_key.get_secret_value() == "first-key-of-ours"
    file.write_text("second-key-of-ours\n")
    assert one(store, DEFAULT).service_key.get_secret_value() == "second-key-of-ours"
    file.write_text("short\n")
    assert (
        fault(store, DEFAULT)
        == "the file that PCC_SERVICE_KEY_FILE names has fewer than 8 characters"
    )
    file.unlink()
    assert (
        fault(store, DEFAULT)
        == "the file that PCC_SERVICE_KEY_FILE names cannot be read: No such file or directory"
    )


def test_what_to_watch_are_the_files_and_the_folder(tmp_path: Path) -> None:
    """A daemon that watches these paths misses no change."""
    shared = replace(SERVICE, service_key=Given("PCC_SERVICE_KEY", path=Path("/run/key")))
    assert CredentialStore(shared, tmp_path).watched == (Path("/run/key"), tmp_path)
    assert CredentialStore(SERVICE, None).watched == ()


# --- Masking, warnings, single secrets -------------------------------------------------------------------------------


def test_every_secret_that_was_read_last_is_known_for_masking(tmp_path: Path) -> None:
    """Keys of stopped accounts and unused tokens of default are masked too; short words and replaced ones are not."""
    files = {
        "seoul-hotel.access_token": "first-token",
        "busan-hotel.service_key": "key-of-busan",
        "busan-hotel.service_id": "id",
    }
    path = folder(tmp_path, files)
    store = CredentialStore(with_tokens(SERVICE, TOKEN), path)
    accounts = {SEOUL: None, BUSAN: None}
    assert store.secrets() == frozenset()
    store.read(accounts)
    folder(path, {"seoul-hotel.access_token": "second-token"})
    store.read(accounts)
    ours = {"service-of-ours", "key-of-our-service", TOKEN}
    assert store.secrets() == ours | {"second-token", "key-of-busan"}
    same = store.secrets()
    store.read(accounts)
    assert store.secrets() is same
    store.read({SEOUL: None})
    assert store.secrets() == ours | {"second-token"}


def test_files_that_no_account_will_ask_for_are_warned_of(tmp_path: Path) -> None:
    """A mistyped file name is told with the name it should have; unknown accounts and dot entries are left alone."""
    names = [
        "seoul.acces_token",
        "README",
        "later.access_token",
        "..data",
        ".gitkeep",
        ".access_token",
        "a.b.service_id",
    ]
    store = CredentialStore(SERVICE, folder(tmp_path, dict.fromkeys(names, "x")))
    assert store.warnings() == (
        "README: not a credential: its name should be ACCOUNT.access_token or alike",
        "a.b.service_id: 'b.service_id' is no kind of credential; did you mean 'service_id'?",
        "seoul.acces_token: 'acces_token' is no kind of credential; did you mean 'access_token'?",
    )
    assert CredentialStore(SERVICE, None).warnings() == ()


def test_a_single_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    """A webhook secret or a listen token in a file may be replaced while the daemon runs."""
    file = folder(tmp_path, {"token": "first-token\n"}) / "token"
    reader = SecretReader(Given("PCC_LISTEN_TOKEN", path=file))
    assert reader.read() == SecretStr("first-token")
    file.write_text("second-token\n")
    assert reader.read() == SecretStr("second-token")
    file.write_text("short")
    assert reader.read() == "the file that PCC_LISTEN_TOKEN_FILE names has fewer than 8 characters"
    file.unlink()
    assert (
        reader.read()
        == "the file that PCC_LISTEN_TOKEN_FILE names cannot be read: No such file or directory"
    )


def test_a_single_secret_may_stand_in_the_variable() -> None:
    """A value needs no file, and one that is not set says so."""
    assert SecretReader(Given("PCC_LISTEN_TOKEN", SecretStr("some-token"))).read() == SecretStr(
        "some-token"
    )
    assert SecretReader(Given("PCC_LISTEN_TOKEN")).read() == "PCC_LISTEN_TOKEN is not set"
