"""The API of a running stack, for what a test does beside the browser."""

from __future__ import annotations

from typing import Any

import httpx


class Api:
    """HTTP with the key of a stack."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.url, self.key = found["api_url"], found["api_key"]
        headers = {"Authorization": f"Bearer {found['api_key']}"}
        self._client = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)

    def run(self, definition: dict[str, Any]) -> str:
        """Start a campaign and return its id."""
        answer = self._client.post("/campaigns/run", json=definition)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["campaign_id"])

    def get(self, path: str) -> Any:
        """Return a resource."""
        return self._client.get(path).raise_for_status().json()
