"""Where every activation lives: lifetimes and placement in the arena."""
