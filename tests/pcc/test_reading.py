"""How much of an answer is read: real lists whole, and nothing without an end."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import PlatformError, Surprise, Unavailable
from reconciler.core.model import AccountName, DeviceId
from reconciler.pcc.client import Client
from reconciler.pcc.reading import FREE, LONGEST_OTHER, MEBIBYTE, Room, TooLongError, read_whole
from reconciler.pcc.transport import open_http
from reconciler.telemetry.metrics import Metrics
from recording import ACCOUNT, REFRESH, StillClock, answer, credentials, listening, serving


class Stream(httpx.AsyncByteStream):
    """Chunks as they come over the wire; counts those that somebody took."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk


def response(
    chunks: Iterable[bytes], *, packed: str = "", length: int | None = None
) -> httpx.Response:
    """Return an answer that is still to be read."""
    headers = {"content-encoding": packed} if packed else {}
    if length is not None:
        headers["content-length"] = str(length)
    return httpx.Response(200, headers=headers, stream=Stream(chunks))


async def read(one: httpx.Response, limit: int = 1000, room: Room | None = None) -> bytes:
    """Read an answer with a small limit."""
    return await read_whole(one, limit, room or Room())


def forever(chunk: bytes) -> Iterable[bytes]:
    """Yield the same bytes without end."""
    while True:
        yield chunk


@given(st.lists(st.binary(max_size=40), max_size=20), st.sampled_from(["", "gzip", "deflate"]))
def test_an_answer_within_the_limit_is_read_whole(chunks: list[bytes], packed: str) -> None:
    """However it is cut into pieces, and packed or not."""
    whole = b"".join(chunks)
    sent = {"gzip": gzip.compress(whole), "deflate": zlib.compress(whole)}.get(packed, whole)
    pieces = [sent[at : at + 7] for at in range(0, len(sent), 7)]
    assert asyncio.run(read(response(pieces, packed=packed))) == whole


async def test_an_answer_of_just_the_limit_is_read_and_one_more_byte_is_not() -> None:
    """The limit is a limit."""
    assert await read(response([b"x" * 1000])) == b"x" * 1000
    with pytest.raises(TooLongError):
        await read(response([b"x" * 1001]))


async def test_an_answer_without_an_end_is_given_up() -> None:
    """Also where nothing of it is content, as in the packed form of nothing at all."""
    with pytest.raises(TooLongError):
        await read(response(forever(b"x" * 100)))
    empty_blocks = gzip.compress(b"")[:10]
    with pytest.raises(TooLongError):
        await read(
            response([empty_blocks, *(b"\x00\x00\x00\xff\xff" for _ in range(1000))], packed="gzip")
        )


async def test_a_length_beyond_the_limit_is_not_waited_for() -> None:
    """What says that it is too long is believed at once."""
    one = response([b"x"], length=1001)
    with pytest.raises(TooLongError):
        await read(one)
    assert isinstance(one.stream, Stream)
    assert one.stream.taken == 0


async def test_a_packed_answer_is_bounded_by_what_it_unpacks_to() -> None:
    """A few kilobytes may stand for gigabytes; what is unpacked is given up at the limit, not after it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([packer.compress(bytes(MEBIBYTE)) for _ in range(256)] + [packer.flush()])
    tracemalloc.start()
    try:
        with pytest.raises(TooLongError):
            await read(response([bomb], packed="gzip"), 4 * MEBIBYTE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16 * MEBIBYTE


async def test_what_is_packed_twice_is_not_unpacked() -> None:
    """Nobody asked for it, and each layer multiplies what it unpacks to."""
    twice = gzip.compress(gzip.compress(b"{}"))
    assert await read(response([twice], packed="gzip, gzip")) == twice


@pytest.mark.parametrize(
    "sent",
    [b"nope", gzip.compress(b"x" * 500)[:-9], gzip.compress(b"")[:4]],
    ids=["never packed", "cut near the end", "cut at once"],
)
async def test_a_packed_answer_that_is_broken_or_cut_is_an_error(sent: bytes) -> None:
    """A cut answer must not pass for a shorter one."""
    with pytest.raises(httpx.DecodingError):
        await read(response([sent], packed="gzip"))


async def test_long_answers_share_a_room_and_short_ones_need_none() -> None:
    """However many long answers come at once, they wait for one another; a short one waits for none of them."""
    room = Room(2 * MEBIBYTE)
    limit = 8 * MEBIBYTE
    hold = asyncio.Event()

    class Slow(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield bytes(FREE + 2 * MEBIBYTE)
            await hold.wait()

    slow = asyncio.create_task(read(httpx.Response(200, stream=Slow([])), limit, room))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(read(response([bytes(FREE + 1)]), limit, room))
    assert len(await read(response([bytes(FREE)]), limit, room)) == FREE
    await asyncio.sleep(0.01)
    assert not waiting.done()
    hold.set()
    assert [len(await slow), len(await waiting)] == [FREE + 2 * MEBIBYTE, FREE + 1]


class Ending(Stream):
    """Two mebibytes more than are free, and then an end that is none."""

    def __init__(self, how: str) -> None:
        super().__init__([])
        self._how = how

    async def __aiter__(self) -> AsyncIterator[bytes]:
        packed = self._how in {"cut", "broken"}
        long = bytes(FREE + 2 * MEBIBYTE)
        yield gzip.compress(long, 1)[:-8] if packed else long
        match self._how:
            case "too long":
                yield bytes(MEBIBYTE)
            case "lost":
                raise httpx.ReadError("lost")
            case "broken":
                yield b"\x01" * 8  # in the place of what it adds up to
            case "cancelled":
                await asyncio.Event().wait()


ENDS: dict[str, type[BaseException]] = {
    "too long": TooLongError,
    "lost": httpx.ReadError,
    "cut": httpx.DecodingError,
    "broken": httpx.DecodingError,
    "cancelled": TimeoutError,
}


@pytest.mark.parametrize("how", ENDS)
async def test_an_answer_that_is_given_up_leaves_its_room(how: str) -> None:
    """Cancelled, too long, lost or broken: what was taken is free again."""
    room = Room(2 * MEBIBYTE)
    headers = {"content-encoding": "gzip"} if how in {"cut", "broken"} else {}
    for _ in range(2):
        one = httpx.Response(200, headers=headers, stream=Ending(how))
        with pytest.raises(ENDS[how]):
            await asyncio.wait_for(
                read(one, FREE + 2 * MEBIBYTE, room), 0.1 if how == "cancelled" else 60
            )
    assert (
        len(await read(response([bytes(FREE + 2 * MEBIBYTE)]), 8 * MEBIBYTE, room))
        == FREE + 2 * MEBIBYTE
    )


def client(http: httpx.AsyncClient, url: str, name: str = ACCOUNT, **changes: object) -> Client:
    """Return a client of one account that speaks to a server of the test."""
    own = credentials(base_url=url, token_url=f"{url}/token", **changes)
    return Client(
        AccountName(name),
        http,
        lambda: own,
        metrics=Metrics(),
        timeout_seconds=30,
        clock=StillClock(),
    )


async def test_one_endless_server_costs_one_call_and_no_other_account() -> None:
    """Errors, confirmations and tokens are given up early; another account is answered meanwhile."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"500 Sorry" if b"GET" in head else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    listed = answer(b'{"messageId":"m","response":[{"deviceId":"a"}]}')
    http = open_http(read_only=False, connections=4)
    async with listening(endless) as port, serving(listed) as server, http:
        one = client(http, f"http://127.0.0.1:{port}")
        other = client(http, server.url, "busan-hotel")
        calls = (one.list_devices(), one.subscribe(DeviceId("a")), other.list_devices())
        listing, change, fine = await asyncio.gather(*calls, return_exceptions=True)
        refreshing = client(
            http, f"http://127.0.0.1:{port}", access_token=None, refresh_token=REFRESH
        )
        with pytest.raises(Unavailable, match="token endpoint: the answer is longer than 1 MiB"):
            await refreshing.list_devices()
    for error in (listing, change):
        assert isinstance(error, Surprise)
        assert "longer than 1 MiB" in str(error)
    assert not isinstance(fine, BaseException)


async def test_a_long_error_is_told_without_its_page() -> None:
    """Of what was not read to its end nothing is quoted."""
    body = b"x" * (LONGEST_OTHER + 1)
    async with (
        serving(answer(body, "502 Bad Gateway")) as server,
        open_http(read_only=False, connections=1) as http,
    ):
        with pytest.raises(PlatformError) as caught:
            await client(http, server.url).list_devices()
    assert "xxx" not in str(caught.value)
    assert caught.value.status == 502
