"""How long the first compiled call takes on a fresh host: torch alone, torch's own caches, mithril."""
