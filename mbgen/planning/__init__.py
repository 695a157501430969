"""Where every activation lives: lifetimes, the row pipeline, and placement in the arena."""

from mbgen.planning.arena import Objective, plan

__all__ = ["Objective", "plan"]
