"""LG's platform, simulated: PCC, the device list, token refresh and events, with everything that can go wrong.

``Platform.handle(Request) -> Answer`` is all of it, without I/O and on any clock; ``create_app`` makes it an ASGI app;
``serving`` puts that on a loopback port inside the running loop; ``run`` is the command ``pcc-reconciler simulate``.

Nothing here imports anything of the reconciler, and the reconciler uses it only to start it. The inside, lowest first:
``errors``, ``wire``, ``event_faults``, ``faults``, ``world``, ``platform``, ``diagnoses``, ``events``, ``calls``,
``callbacks``, ``sender``, ``event_control``, ``control`` (``/_sim``), ``sample``, ``store``, ``app``, ``server``.
"""

from reconciler.simulator.app import App, Dropped, create_app
from reconciler.simulator.callbacks import Callbacks
from reconciler.simulator.calls import Sent
from reconciler.simulator.control import Control
from reconciler.simulator.diagnoses import TABLE, Diagnosis
from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.faults import Match, Route, Rule, read_rules
from reconciler.simulator.platform import Options, Platform, Record
from reconciler.simulator.sample import sample_platform
from reconciler.simulator.sender import Sender, Target
from reconciler.simulator.server import SimulatorOptions, build, parse_listen, run, serving, welcome
from reconciler.simulator.store import load, save
from reconciler.simulator.wire import Answer, Request
from reconciler.simulator.world import Device, Service, User, World, sample_devices

__all__ = [
    "TABLE",
    "Answer",
    "App",
    "Callbacks",
    "Control",
    "Device",
    "Diagnosis",
    "Dropped",
    "Match",
    "Options",
    "Platform",
    "Record",
    "Request",
    "Route",
    "Rule",
    "Sender",
    "Sent",
    "Service",
    "SimulatorError",
    "SimulatorOptions",
    "Target",
    "User",
    "World",
    "build",
    "create_app",
    "load",
    "parse_listen",
    "read_rules",
    "run",
    "sample_devices",
    "sample_platform",
    "save",
    "serving",
    "welcome",
]
