"""Work that is shared by threads."""

from .workers import map_parts

__all__ = ["map_parts"]
