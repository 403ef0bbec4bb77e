"""The shared store behind the local one: looked up within a budget, filled behind the compile, copied in bulk."""
