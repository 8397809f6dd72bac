"""Threads: how many torch computes with, and work that is shared by them."""

from .limits import limit_threads, use_threads
from .workers import map_parts

__all__ = ["limit_threads", "map_parts", "use_threads"]
