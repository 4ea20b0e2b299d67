"""Mounts the studio's pages at `/`, inside the same application and process."""

from __future__ import annotations

from fluxsmith.ui.app import mount_studio

__all__ = ["mount_studio"]
