"""A scripted fal at the socket: one server that stands for its queue, its store of files and its history."""

from __future__ import annotations

import json
import struct

from tests.fake_host import Exchange, FakeHost, Move, image, says, sends

KLEIN = "fal/flux-2-klein-base-4b"
TRAINER = "/fal-ai/flux-2-klein-4b-base-trainer"
LORA_PATH = "/files/lora.safetensors"
REQUEST = f"{TRAINER}/requests/req-1"
STATUS, CANCEL = f"{REQUEST}/status", f"{REQUEST}/cancel"
INITIATE, SIGNED, HISTORY = "/storage/upload/initiate", "/signed/1", "/v1/models/requests/by-endpoint"
DRAWS = "/fal-ai/flux-2/klein/4b/base/lora"
DRAWN = "/fal-ai/flux-2/requests/req-2"
PICTURE = "/files/picture.png"
ZIP = "/files/pictures.zip"


def lora_file(name: str = "transformer.x.lora_A.weight") -> bytes:
    """A safetensors file with one small tensor."""
    header = json.dumps({name: {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.0, 2.0)


class FakeFal(FakeHost):
    """The server, with a script in which all goes well."""

    def __init__(self) -> None:
        super().__init__()
        place = {"upload_url": f"{self.url}{SIGNED}?sig=s", "file_url": f"{self.url}{ZIP}"}
        self.script(INITIATE, says(200, place))
        self.script(SIGNED, sends(b"", "text/plain"))
        self.script(TRAINER, accepts(REQUEST))
        self.script(
            STATUS,
            queued(2),
            running("Steps: 50/200, loss=0.25"),
            running("Steps: 50/200, loss=0.25", "Steps: 150/200, loss=0.125"),
            completed("Steps: 50/200, loss=0.25", "Steps: 150/200, loss=0.125"),
        )
        self.script(REQUEST, self.trained())
        self.script(LORA_PATH, sends(lora_file(), "application/octet-stream"))
        self.script(CANCEL, says(202, {"status": "CANCELLATION_REQUESTED"}))
        self.script(DRAWS, accepts(DRAWN))
        self.script(f"{DRAWN}/status", queued(0), completed())
        self.script(DRAWN, self.drawn())
        self.script(PICTURE, sends(image(512, 512), "image/png"))

    def trained(self, path: str = LORA_PATH) -> Move:
        """The trainer's result."""
        url = path if "://" in path else f"{self.url}{path}"
        file = {"url": url, "content_type": "application/octet-stream", "file_size": 100}
        return says(200, {"diffusers_lora_file": file, "config_file": file})

    def drawn(self, nsfw: bool = False) -> Move:
        """The result of a drawing."""
        images = [{"url": f"{self.url}{PICTURE}", "width": 512, "height": 512}]
        return says(200, {"images": images, "seed": 7, "has_nsfw_concepts": [nsfw], "prompt": "a cup"})

    def history(self, request_id: str = "req-1", pictures: str | None = None) -> Move:
        """The account's history with one request in it."""
        sent = {"image_data_url": pictures or f"{self.url}{ZIP}", "steps": 200}
        item = {"request_id": request_id, "endpoint_id": TRAINER[1:], "json_input": sent}
        return says(200, {"items": [item], "next_cursor": None, "has_more": False})


def accepts(place: str) -> Move:
    """Accept a request; its addresses are on this very server."""

    def move(exchange: Exchange) -> None:
        url = exchange.server.url + place
        body = {
            "request_id": place.rpartition("/")[2],
            "response_url": url,
            "status_url": f"{url}/status",
            "cancel_url": f"{url}/cancel",
            "queue_position": 0,
        }
        exchange.answer(200, json.dumps(body).encode())

    return move


def queued(position: int) -> Move:
    """The request waits."""
    return says(200, {"status": "IN_QUEUE", "queue_position": position})


def running(*lines: str) -> Move:
    """The request is being carried out, and has said so much."""
    return says(202, {"status": "IN_PROGRESS", "logs": _logs(lines)})


def completed(*lines: str, error: str | None = None) -> Move:
    """The request has ended, well or with an error."""
    body = {"status": "COMPLETED", "logs": _logs(lines), "metrics": {"inference_time": 3.5}}
    return says(200, body | ({"error": error, "error_type": "runner_error"} if error else {}))


def _logs(lines: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"message": line, "level": "INFO", "timestamp": "2026-11-24T10:00:00Z"} for line in lines]
