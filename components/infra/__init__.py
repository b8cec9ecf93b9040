"""The infra check: what ships is loaded in a fresh process, asked, timed and weighed."""

from components.infra.check import measure

__all__ = ["measure"]
