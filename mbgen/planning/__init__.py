"""Where every activation lives: lifetimes and placement in the arena."""

from mbgen.planning.arena import plan

__all__ = ["plan"]
