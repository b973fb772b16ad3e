"""The demonstration: LG's platform, simulated, daemon and receiver beside it, on a sample fleet in a temporary folder.

Owns: the sample fleet, its settings, and what it tells a person to try.
Must not: be anything that ``simulate``, ``run`` and ``receive`` could not do from three shells.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler import desired
from reconciler.core.model import DEFAULT_ACCOUNT, Desired, Device, DeviceId, DeviceType, Policy
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.demo_events import EVENTS_FILE, DemoEvents
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.receiving.process import ReceiverProcess
from reconciler.runtime.setting_values import Listen
from reconciler.simulator import (
    Callbacks,
    Platform,
    Sender,
    Target,
    create_app,
    sample_platform,
    serving,
)
from reconciler.telemetry.masking import Masking

MISSING_AT_FIRST = 3
"""How many wanted devices are not subscribed yet when the demonstration begins: something to watch at once."""
RECEIVE_LISTEN = "127.0.0.1:8081"
"""Where the receiver is, or else on a free port."""
INTERVAL = "10s"
"""Short, so that drift is healed while one looks."""
FLOOR = Policy().max_unsubscribe_floor
"""As many devices may go at once from a small fleet; a guard holds more."""
DEFAULT_LISTEN = "127.0.0.1:8080"
"""Where commands look for the daemon unless another address is set."""
INSTRUCTIONS = "try.txt"
"""The file that has the welcome, for when the log has pushed it off the screen."""
TYPES = {f"DEVICE_{kind.name}": kind for kind in DeviceType}


class Demo:
    """One demonstration."""

    def __init__(
        self,
        *,
        listen: str,
        devices: int,
        seed: int,
        say: Callable[[str], None],
        masking: Masking | None = None,
        program: str = "pcc-reconciler",
    ) -> None:
        self._listen = listen
        self._devices = devices
        self._seed = seed
        self._say = say
        self._program = program
        self._masking = masking or Masking()
        self._stopping = asyncio.Event()
        self._daemon: Daemon | None = None
        self._receiver: ReceiverProcess | None = None

    def stop(self) -> None:
        """End it in good order."""
        self._stopping.set()
        if self._daemon is not None:
            self._daemon.stop()

    async def run(self) -> None:
        """Run until ``stop``."""
        platform = sample_platform(devices=self._devices, seed=self._seed, only_pcc=True)
        with TemporaryDirectory(prefix="pcc-reconciler-demo-") as name:
            folder = Path(name)
            file = folder / "desired-state.toml"
            wanted, spare = self._write(platform, file)
            platform.subscribe(DEFAULT_ACCOUNT, *(one.id for one in wanted[MISSING_AT_FIRST:]))
            receiving = self._receiving(folder)
            address = f"http://{receiving.receive_listen}"
            sender = Sender(Callbacks(platform), Target.of(f"{address}/pcc/events"))
            async with serving(create_app(platform, sender)) as simulator:
                given = self._environment(platform, simulator, folder)
                chosen = settings.load(given | {"PCC_EVENTS_FROM": address})
                chosen = chosen.model_copy(update={"listen": _free(chosen.listen)})
                self._masking.know(chosen.secrets())
                near = chosen.listen.near.removeprefix("http://")
                places = Places(near, simulator, file, address, receiving.events_dir)
                welcome = _welcome(places, spare, wanted[-1], self._program)
                (folder / INSTRUCTIONS).write_text(welcome, encoding="utf-8")
                self._say(welcome)
                self._daemon = Daemon(chosen, masking=self._masking)
                self._receiver = ReceiverProcess(receiving, masking=self._masking)
                events = DemoEvents(
                    folder,
                    sender.callbacks,
                    receiving.receive_listen,
                    self._say,
                    welcome=welcome,
                    recap=_recap(places),
                )
                events.write_files()
                if not self._stopping.is_set():
                    await self._together(self._daemon, self._receiver, events)
        self._say("The demonstration is over; its folder is removed.")

    async def _together(
        self, daemon: Daemon, receiver: ReceiverProcess, events: DemoEvents
    ) -> None:
        """Run daemon and receiver until the daemon ends."""
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receiver.run())
            happening = group.create_task(events.run())
            try:
                await daemon.run()
            finally:
                happening.cancel()
                receiver.stop()
            await receiving

    def _receiving(self, folder: Path) -> ReceiverSettings:
        """Return the receiver's settings. It knows nothing of LG's but what is in the file."""
        chosen = settings.load_receiver(
            {
                "PCC_RECEIVE_LISTEN": RECEIVE_LISTEN,
                "PCC_EVENTS_CONFIG": str(folder / EVENTS_FILE),
                "PCC_EVENTS_DIR": str(folder / "spool"),
                "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
            }
        )
        return chosen.model_copy(update={"receive_listen": _free(chosen.receive_listen)})

    def _write(self, platform: Platform, file: Path) -> tuple[list[Device], Device]:
        """Write a file that wants all devices of the sample but the last; return those, and that one."""
        owned = platform.world.user(DEFAULT_ACCOUNT).devices.values()
        devices = [Device(DeviceId(one.id), one.alias, TYPES.get(one.type)) for one in owned]
        wanted = {device.id: device for device in devices[:-1]}
        file.write_text(
            desired.dump([Desired(DEFAULT_ACCOUNT, frozenset(wanted), wanted)]), encoding="utf-8"
        )
        return devices[:-1], devices[-1]

    def _environment(self, platform: Platform, simulator: str, folder: Path) -> dict[str, str]:
        world = platform.world
        return {
            "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
            "PCC_STATE_DIR": str(folder / "state"),
            "PCC_BASE_URL": simulator,
            "PCC_TOKEN_URL": f"{simulator}/emp/v2/token",
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": world.service.id,
            "PCC_SERVICE_KEY": world.service.key,
            "PCC_CLIENT_ID": world.service.client_id,
            "PCC_BACKEND_URL": world.service.backend_url or "",
            "PCC_REFRESH_TOKEN": world.user(DEFAULT_ACCOUNT).refresh_token or "",
            "PCC_INTERVAL": INTERVAL,
            "PCC_LISTEN": self._listen,
        }


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is."""

    listen: str
    simulator: str
    file: Path
    receiver: str
    spool: Path


def _welcome(at: Places, spare: Device, lost: Device, program: str) -> str:
    """Return what is where and what to try: at most 23 lines, as a small terminal has 24."""
    where = "" if at.listen == DEFAULT_LISTEN else f"PCC_LISTEN={at.listen} "
    ask = f"{where}{program}"
    entry = f'{{ id = "{spare.id}", name = "{spare.name}" }},'
    return f"""\
status page  http://{at.listen}/
metrics      http://{at.listen}/metrics
simulator    {at.simulator}/_sim
edit         {at.file}
events       {at.receiver}/

Try in a second terminal:
  {ask} status
  {ask} devices
  {ask} explain "{lost.name or lost.id[:12]}"
  {ask} history
Remove a line from the file and save: DELETE. Remove more than {FLOOR}: a guard
holds them, and status and page say what to do. Add a line: POST. One to add:
  {entry}
Lose a subscription; it comes back within {INTERVAL} (a minute for a new one):
  curl -s {at.simulator}/_sim/users/default/unsubscribe -d '{{"ids": ["{lost.id}"]}}'
"""


def _recap(at: Places) -> str:
    """Return what is printed again after a while: where to find what was printed first."""
    return f"""\
status page  http://{at.listen}/       (Ctrl-C ends everything)
what to try  cat {at.file.parent / INSTRUCTIONS}"""


def _free(listen: Listen) -> Listen:
    """Return the address, with another port where that one is taken."""
    host = "127.0.0.1" if listen.everywhere else listen.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, listen.port))
        except OSError:
            with suppress(OSError):  # an address that is not ours at all: the daemon says so better
                probe.bind((host, 0))
        return Listen(listen.host, probe.getsockname()[1] or listen.port)
