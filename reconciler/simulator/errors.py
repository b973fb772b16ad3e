"""The one error of the simulator. Must not: grow a tree; the caller shows the sentence."""


class SimulatorError(Exception):
    """The simulator was asked for something it cannot do: a bad option, fault plan, state file or address."""
