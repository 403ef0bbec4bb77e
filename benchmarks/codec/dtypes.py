"""Bytes per element of each dtype that a data set may have."""

from mithril._native import core

WIDTHS = {name: width for name, _, width in core.dtypes()}
