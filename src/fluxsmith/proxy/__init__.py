"""Records what a real client and a server say to each other, and says it again as a test.

    exchange   what one line of a recording holds
    masking    what is taken out before anything touches the disk
    recorder   from what passed on the wire to a line of the file, and back
    addresses  where requests go, and how addresses in answers lead back through the proxy
    app        the reverse proxy itself
    faults     words for a server that cannot be spoken to
    shape      how two answers differ in what they are made of
    names      what a replay's server calls otherwise: ids and addresses
    replay     sends a recording's requests again and compares

Nothing here knows of our server: either side may be any speaker of BFL's API.
"""

from fluxsmith.proxy.app import create_proxy
from fluxsmith.proxy.exchange import Exchange
from fluxsmith.proxy.recorder import Keep, Recorder, read_recording
from fluxsmith.proxy.replay import Outcome, Replay

__all__ = ["Exchange", "Keep", "Outcome", "Recorder", "Replay", "create_proxy", "read_recording"]
