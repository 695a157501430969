"""A compiler from MobileNets to plain C."""

__version__ = "0.1.0"
