"""C helpers and instructions, each text beside its meaning."""
