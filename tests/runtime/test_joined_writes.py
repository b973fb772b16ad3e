"""What is written in one turn of the event loop leaves at once, whole and in order."""

from __future__ import annotations

import asyncio

from reconciler.runtime.joined_writes import MOST_HELD, JoinedWrites


class Wire(asyncio.Transport):
    """A transport that writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write down a packet."""
        self.sent.append(bytes(data))

    def close(self) -> None:
        """End in order."""
        self.ended = "closed"

    def abort(self) -> None:
        """End at once."""
        self.ended = "aborted"

    def is_closing(self) -> bool:
        """Say whether it ended."""
        return bool(self.ended)


def joined() -> tuple[JoinedWrites, Wire]:
    """Return a connection, and what is beneath it."""
    wire = Wire()
    return JoinedWrites(wire, asyncio.get_running_loop()), wire


async def test_what_is_written_in_one_turn_leaves_together() -> None:
    """Head, body and an empty end are one packet, and what the next turn writes is another one."""
    connection, wire = joined()
    for piece in (b"head", b"body", b""):
        connection.write(piece)
    assert wire.sent == []
    await asyncio.sleep(0)
    connection.write(b"next")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"next"]


async def test_a_closed_connection_has_sent_everything() -> None:
    """What was written before the end is sent before it, and nothing is sent twice."""
    connection, wire = joined()
    connection.write(b"answer")
    connection.close()
    assert (wire.sent, wire.ended) == ([b"answer"], "closed")
    await asyncio.sleep(0)
    assert wire.sent == [b"answer"]
    assert connection.is_closing()


async def test_an_aborted_connection_sends_nothing_more() -> None:
    """What was held for the end of the turn is dropped."""
    connection, wire = joined()
    connection.write(b"answer")
    connection.abort()
    await asyncio.sleep(0)
    assert (wire.sent, wire.ended) == ([], "aborted")


async def test_much_is_not_held() -> None:
    """More than a little leaves at once, so that whoever writes it is slowed down by a slow reader."""
    connection, wire = joined()
    large = b"x" * (MOST_HELD + 1)
    connection.write(b"head")
    connection.write(large)
    assert wire.sent == [b"head" + large]
    await asyncio.sleep(0)
    assert len(wire.sent) == 1
