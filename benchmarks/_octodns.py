"""One no-op plan of octoDNS, run by the interpreter that octoDNS is installed for: prints how many seconds it took.

A zone of A records is read from a YAML file as what is wanted and from a copy of it as what is live, so that neither
side waits for a network. Imports and the making of the files are not counted.
"""

import importlib
import sys
import time
from pathlib import Path

ZONE = "example.com."


def main(folder: Path, entries: int) -> float:
    """Write the zone twice, plan, and return the seconds of the plan."""
    records = "".join(
        f"host{number:07}:\n  ttl: 300\n  type: A\n  value: 10.{number >> 16}.{number >> 8 & 255}.{number & 255}\n"
        for number in range(entries)
    )
    for side in ("wanted", "live"):
        (folder / side).mkdir()
        (folder / side / f"{ZONE}yaml").write_text("---\n" + records, encoding="utf-8")
    provider = "class: octodns.provider.yaml.YamlProvider\n    default_ttl: 300\n    directory:"
    config = folder / "config.yaml"
    config.write_text(
        f"providers:\n  wanted:\n    {provider} {folder / 'wanted'}\n  live:\n    {provider} {folder / 'live'}\n"
        f"zones:\n  {ZONE}:\n    sources: [wanted]\n    targets: [live]\n",
        encoding="utf-8",
    )
    manager = importlib.import_module("octodns.manager")
    importlib.import_module("octodns.provider.yaml")
    began = time.perf_counter()
    changes = manager.Manager(str(config)).sync(dry_run=True)
    took = time.perf_counter() - began
    assert changes == 0, "the plan is not empty"
    return took


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), int(sys.argv[2]))}\n")
