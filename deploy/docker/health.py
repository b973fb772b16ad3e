"""Asks the process in this container whether it is alive: exit code 0 if so, else 1 with its reason.

It asks the daemon, where PCC_LISTEN says; with `PCC_RECEIVE_LISTEN` as its argument, the receiver of events. It uses
the standard library's plainest client, so that it starts fast, needs no curl and obeys no proxy.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 8.0
ANYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound


DEFAULTS = {"PCC_LISTEN": "127.0.0.1:8080", "PCC_RECEIVE_LISTEN": "127.0.0.1:8081"}


def main(setting: str = "PCC_LISTEN") -> int:
    """Ask where a setting says."""
    listen = os.environ.get(setting) or DEFAULTS[setting]
    host, _, port = listen.strip().rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(
        "127.0.0.1" if host in ANYWHERE else host, int(port), timeout=SECONDS
    )
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(1024).decode("utf-8", "replace").strip()
    except (OSError, HTTPException) as error:
        answer, said = None, f"nothing answers: {error}"
    finally:
        connection.close()
    sys.stdout.write(f"{said}\n")
    return 0 if answer is not None and answer.status == 200 else 1  # noqa: PLR2004 - 200 says what it is


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
