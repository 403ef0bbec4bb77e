"""Near-duplicate removal against its peers: speed, memory, recall and precision on real text with planted copies."""
