"""The version of the installed package; pyproject.toml is where it is set."""

from importlib.metadata import version

__version__ = version("mithril")
