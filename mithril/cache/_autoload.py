"""The entry point `torch.backends`: torch calls it at the end of its own import, in every process."""

import os

_OFF = ("", "0", "false", "no", "off")


def activate() -> None:
    """Nothing, unless the environment turns the cache on: torch's import must not cost more for it. Never raises."""
    chosen = os.environ.get("MITHRIL_CACHE") or os.environ.get("MITHRIL_INDUCTOR_AUTO_PATCH") or ""
    if chosen.strip().lower() in _OFF:
        return
    try:
        from mithril.cache._manager import activate_from_environment

        activate_from_environment()
    except Exception as error:
        import logging

        logging.getLogger("mithril.cache").warning("the cache is off: %s: %s", type(error).__name__, error)
