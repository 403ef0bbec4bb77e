"""torch.compile: what is hooked, what is supplied, and what of the host it depends on."""
