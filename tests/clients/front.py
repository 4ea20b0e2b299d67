"""A front in TLS for clients that know only https://api.bfl.ai: a proxy that their environment names.

It ends the TLS of the names it is told with a certificate of its own authority, and hands each request to a
started server, as a reverse proxy would. Other names are refused and kept: a test sees whom else a client
calls.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_S = 60
_HOP = {"connection", "content-length", "host", "keep-alive", "proxy-connection", "transfer-encoding"}


@dataclass(frozen=True)
class Front:
    """A started front.

    Attributes:
        environment: the variables by which a client finds it, whatever library it speaks HTTP with.
        refused: names that a client asked for and that are not the front's.
    """

    environment: dict[str, str]
    refused: set[str] = field(default_factory=set)


@contextlib.contextmanager
def front_of(server_url: str, names: tuple[str, ...], python: Path, folder: Path) -> Iterator[Front]:
    """Put a front before a server for as long as the block lasts.

    Args:
        server_url: where requests go.
        names: host names and addresses that the front answers for.
        python: a Python that has trustme, which makes the certificate.
        folder: where the certificate goes.
    """
    made = [str(python), "-m", "trustme", "--quiet", "--dir", str(folder), "--identities", *names]
    subprocess.run(made, check=True, timeout=PATIENCE_S)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server = _Listener(("127.0.0.1", 0), _Proxy)
    address, authority = f"http://127.0.0.1:{server.server_address[1]}", str(folder / "client.pem")
    front = Front(
        dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address)
        | dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), authority)
        | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    )
    server.setting = _Setting(front, urlsplit(server_url).netloc, frozenset(names), context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class _Setting:
    front: Front
    server: str
    names: frozenset[str]
    context: ssl.SSLContext


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    setting: _Setting


class _Proxy(http.server.BaseHTTPRequestHandler):
    """One connection: a CONNECT in the clear, then the client's requests under TLS."""

    protocol_version = "HTTP/1.1"

    @property
    def setting(self) -> _Setting:
        assert isinstance(self.server, _Listener)
        return self.server.setting

    def do_CONNECT(self) -> None:
        name = self.path.rpartition(":")[0]
        if name not in self.setting.names:
            self.setting.front.refused.add(name)
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.setting.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        self._hand_on()

    def do_POST(self) -> None:
        self._hand_on()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        server = http.client.HTTPConnection(self.setting.server, timeout=PATIENCE_S)
        with contextlib.closing(server):
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
