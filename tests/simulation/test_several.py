"""Three daemons in the usual world: they keep every promise together, and the same seed is the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.modes import REPLICAS
from simulation.seed import run
from simulation.test_simulation import simulate


def test_seeds_of_three_daemons_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few seeds with three daemons go well, and the last line says so."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "replicas", "--seeds", "2", "--hours", "8", "--from", "3")
    assert (code, said[-1]) == (0, "seeds 3..4: 0 violations")


def test_a_seed_of_three_daemons_is_the_same_again() -> None:
    """What happens to three daemons follows from the seed alone."""
    first = run(11, 6, REPLICAS).told()
    assert len(first) > 30
    assert run(11, 6, REPLICAS).told() == first


def test_an_owner_that_was_frozen_while_it_renewed_a_token_makes_no_outdated_change() -> None:
    """What it was about to unsubscribe was taken back meanwhile, and its lease had not ended when it went on."""
    assert run(27, 10.5, REPLICAS).violation is None
