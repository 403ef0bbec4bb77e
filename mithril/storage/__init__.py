"""Byte stores: named objects in a folder or in S3 and what is compatible with it, behind one small interface."""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.storage._local import LocalByteStore
    from mithril.storage._object import ObjectByteStore
    from mithril.storage._open import open_store
    from mithril.storage._store import ByteStore, ObjectInfo

__all__ = ["ByteStore", "LocalByteStore", "ObjectByteStore", "ObjectInfo", "open_store"]

_HOMES = {
    "_local": ("LocalByteStore",),
    "_object": ("ObjectByteStore",),
    "_open": ("open_store",),
    "_store": ("ByteStore", "ObjectInfo"),
}

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
