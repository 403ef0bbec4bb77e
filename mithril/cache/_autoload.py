"""The entry point `torch.backends`: torch calls it at the end of its own import, in every process."""

import os


def activate() -> None:
    """Nothing, unless the environment turns the cache on: torch's import must not cost more for it."""
    if os.environ.get("MITHRIL_CACHE", "0") in ("", "0") and os.environ.get("MITHRIL_INDUCTOR_AUTO_PATCH", "0") in (
        "",
        "0",
    ):
        return
    if os.environ.get("MITHRIL_CACHE") == "0":
        return
    from mithril.cache._manager import activate_from_environment

    activate_from_environment()
