"""Pictures of networks: what they look like, what they see and where they looked."""

__all__ = []
