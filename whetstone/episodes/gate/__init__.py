"""What may stand on a page: quotes that were said exactly so, and lines that say no more than what they cite."""

from whetstone.episodes.gate.quotes import Accepted, Gate, Reason, Refused

__all__ = ["Accepted", "Gate", "Reason", "Refused"]
