"""Records a client against a started server with the tiny model, so that the recording is a test.

    python -m tests.clients.record NAME COMMAND …

runs the command, in which `{url}` stands for the address to speak to, and writes `recordings/NAME.jsonl`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from fluxsmith.proxy import Keep
from tests.clients.test_recordings import FOLDER
from tests.harness import Server
from tests.proxies import RunningProxy
from tests.tiny import tiny_models

KEEP = Keep(limit_bytes=4_000)  # what clients send here is smaller; pictures drawn are not needed again


def main(name: str, *command: str) -> int:
    """Record, and return the exit code of the client."""
    file = FOLDER / f"{name}.jsonl"
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), tiny_models()).start()
        try:
            proxy = RunningProxy(server.wait_ready().url, file, KEEP)
            done = subprocess.run([part.replace("{url}", proxy.url) for part in command])
            proxy.close()
        finally:
            server.stop()
    print(f"{proxy.recorder.count} exchanges in {file}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
