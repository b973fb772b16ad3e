"""Names devices for the receiving process: account, name and type, by the desired state.

Owns: following the desired state's source read only (``follower``), what is in force of it (``names``), and what of it
outlives a restart (``kept``). Must not: change a subscription, know how an event is stored or delivered, or end the
process for a fault.
"""

from reconciler.runtime.directory.follower import DirectoryFollower
from reconciler.runtime.directory.names import DesiredDirectory

__all__ = ["DesiredDirectory", "DirectoryFollower"]
