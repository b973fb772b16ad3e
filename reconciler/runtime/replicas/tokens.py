"""The user tokens of the accounts that this replica owns, compared with those of all other accounts.

Owns: which accounts may call LG with the tokens that they have now. Must not: let a token out.

Two accounts with the same token would unsubscribe each other's devices. A process sees that in its own files. The files
of several replicas are not always of the same age, so owners also compare fingerprints in the database.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from reconciler.core.model import AccountName
from reconciler.pcc.credentials import USER_TOKENS, Credentials, same_token
from reconciler.state.coordination import Tokens
from reconciler.state.records import Fence

Prints = Mapping[str, str]
"""The kind of each token, by its fingerprint."""


def no_credentials(account: AccountName) -> Credentials | str:
    """Return why an account has no credentials before they were read."""
    return f"the credentials of {account} were not read yet"


@dataclass(frozen=True, slots=True)
class Compared:
    """Which tokens an account had when they were compared, in which epoch, and why they are refused, or None."""

    epoch: int
    fingerprints: frozenset[str]
    refusal: str | None


class TokenComparison:
    """What is known of the tokens of owned accounts. ``credentials`` returns those of an account, as they are now."""

    def __init__(self, tokens: Tokens) -> None:
        self.credentials: Callable[[AccountName], Credentials | str] = no_credentials
        self._tokens, self._key = tokens, b""
        self._compared: dict[AccountName, Compared] = {}

    def refusal(self, account: AccountName) -> str | None:
        """Return why an account must not use its tokens, or None."""
        found = self._compared.get(account)
        return None if found is None else found.refusal

    def allows(self, account: AccountName, epoch: int) -> bool:
        """Say whether the tokens that an account has now were compared in this epoch, and are its own."""
        found = self._compared.get(account)
        if found is None or found.refusal is not None or found.epoch != epoch:
            return False
        return found.fingerprints == self._prints(account).keys()

    def compare(
        self, accounts: Collection[AccountName], fences: Mapping[AccountName, Fence]
    ) -> None:
        """Compare the tokens of owned accounts with all others. For a worker thread. Raises ``StateError``."""
        if not accounts:
            return
        self._key = self._tokens.key()
        prints = {one: self._prints(one) for one in accounts}
        used = {one: frozenset(each) for one, each in prints.items()}
        for account, taken in self._tokens.note(used, fences).items():
            refusal = _refusal(prints[account], taken)
            self._compared[account] = Compared(fences[account].epoch, used[account], refusal)

    def compare_refused(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        """Compare the tokens again that were refused; return the accounts that may use theirs now."""
        compared = tuple(self._compared.items())
        refused = [one for one, each in compared if each.refusal is not None and one in fences]
        self.compare(refused, fences)
        return frozenset(one for one in refused if self.refusal(one) is None)

    def drop(self, accounts: Collection[AccountName]) -> None:
        """Forget accounts that are not owned any more."""
        for account in accounts:
            self._compared.pop(account, None)

    def _prints(self, account: AccountName) -> Prints:
        """Return the fingerprints of an account's tokens. One without credentials uses none."""
        credentials = self.credentials(account)
        if isinstance(credentials, str):
            return {}
        tokens = (credentials.access_token, credentials.refresh_token)
        return {
            self._fingerprint(kind, token.get_secret_value()): kind
            for kind, token in zip(USER_TOKENS, tokens, strict=True)
            if token is not None
        }

    def _fingerprint(self, kind: str, token: str) -> str:
        return hmac.digest(self._key, f"{kind}\0{token}".encode(), "sha256").hex()


def _refusal(prints: Prints, taken: Mapping[str, AccountName]) -> str | None:
    sentences = [same_token(prints[one], [other]) for one, other in sorted(taken.items())]
    return "; ".join(sentences) or None
