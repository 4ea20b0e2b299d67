"""A plain HTTP client of BFL's API, as its documentation of 2025 describes one. Knows nothing of ours."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import httpx
from PIL import Image

from tests.harness import PATIENCE_S

Json = dict[str, Any]
STATES = {"Task not found", "Pending", "Request Moderated", "Content Moderated", "Ready", "Error"}


class BflClient:
    """Submits, polls and fetches at one address.

    Args:
        url: where the server is.
        key: sent as `x-key` with everything but polls and pictures; None sends none.
    """

    def __init__(self, url: str, key: str | None = "bfl_0123456789abcdef") -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30, headers={"x-key": key} if key else {})
        self.keyless = httpx.Client(timeout=30)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        self.keyless.close()

    def post(self, endpoint: str, **body: Any) -> httpx.Response:
        """POST a JSON body."""
        return self.http.post(f"/v1/{endpoint}", json=body)

    def submit(self, endpoint: str, **body: Any) -> Json:
        """Submit a task that must be accepted."""
        response = self.post(endpoint, **body)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def refuse(self, endpoint: str, status: int = 422, /, **body: Any) -> Json:
        """Submit a task that must be refused, and return the error body."""
        response = self.post(endpoint, **body)
        assert response.status_code == status, (response.status_code, response.text[:500])
        return dict(response.json())

    def finetune(self, zipped: bytes, comment: str, **more: Any) -> Json:
        """Submit a finetune."""
        data = base64.b64encode(zipped).decode()
        return self.submit("finetune", file_data=data, finetune_comment=comment, **more)

    def get(self, path: str, **query: str) -> httpx.Response:
        """GET below /v1."""
        return self.http.get(f"/v1/{path}", params=query)

    def poll(self, polling_url: str) -> Json:
        """One poll, without a key."""
        response = self.keyless.get(polling_url)
        assert response.status_code == 200, response.text
        answer = dict(response.json())
        assert answer["status"] in STATES
        assert (answer["result"] is not None) == (answer["status"] == "Ready")
        return answer

    def follow(self, polling_url: str, patience_s: float = PATIENCE_S) -> list[Json]:
        """All polls until the task has ended."""
        deadline = time.monotonic() + patience_s
        seen = [self.poll(polling_url)]
        while seen[-1]["status"] == "Pending":
            assert time.monotonic() < deadline, f"still pending: {seen[-1]}"
            time.sleep(0.1)
            seen.append(self.poll(polling_url))
        return seen

    def result(self, polling_url: str) -> Json:
        """The result of a task that must succeed."""
        last = self.follow(polling_url)[-1]
        assert last["status"] == "Ready", last
        return dict(last["result"])

    def fetch(self, url: str) -> tuple[Image.Image, str]:
        """A picture by its address, without a key, and its content type."""
        response = self.keyless.get(url)
        assert response.status_code == 200, response.text
        image = Image.open(io.BytesIO(response.content))
        image.load()
        return image, response.headers["content-type"]

    def draw(self, endpoint: str, **body: Any) -> Image.Image:
        """Submit, wait and fetch."""
        result = self.result(self.submit(endpoint, **body)["polling_url"])
        return self.fetch(result["sample"])[0]
