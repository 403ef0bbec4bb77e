"""Keys of graphs that know no paths, what differs between two, and artifacts kept under them."""
