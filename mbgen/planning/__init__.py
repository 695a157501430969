"""Where every activation lives: lifetimes and placement in the arena."""

from mbgen.planning.arena import check_fit, plan

__all__ = ["check_fit", "plan"]
