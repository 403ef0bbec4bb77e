"""The annotated hex dump of section 11 of docs/format.md.

python -m tests.reference.example
"""

import struct

from .encoder import Item, encode

TENSOR = Item(
    "w",
    "bfloat16",
    (2,),
    struct.pack("<2H", 0x3F80, 0xBFC0),
    block_elements=131072,
    codings=[("float_fields", ("constant", "raw"))],
)
ARCHIVE = encode([TENSOR], zstd=10504)
VERSIONS = [(4, "version 1.1"), (4, "zstd library 1.5.4"), (8, "must_understand"), (8, "may_ignore")]
FIELDS: list[tuple[str, list[tuple[int, str]]]] = [
    ("header", [(8, "magic"), *VERSIONS, (24, "reserved"), (8, "checksum")]),
    (
        "frame: block 0",
        [
            (1, "exponent plane, coded constant: 7F twice"),
            (2, "sign_mantissa plane, coded raw: 00, C0"),
            (61, "padding"),
        ],
    ),
    (
        "frame: table",
        [
            (4, "magic, `MTBL`"),
            (2, "base_kind: none"),
            (2, "reserved"),
            (8, "block_elements, 131072"),
            (8, "block_count"),
            (8, "recipe_count"),
            (8, "model_count"),
            (8, "recipe 0: float_fields, parameter 0, 2 planes, reserved"),
            (4, "plane 0: 8 bits, no context"),
            (4, "plane 1: 8 bits, no context"),
            (8, "block 0: stored_size"),
            (8, "stored_checksum"),
            (8, "raw_checksum"),
            (8, "recipe 0, no envelope, envelope_size 0"),
            (8, "plane 0: coder constant, reserved, no model"),
            (8, "stream_size"),
            (8, "plane 1: coder raw, reserved, no model"),
            (8, "stream_size"),
            (8, "checksum"),
        ],
    ),
    (
        "index",
        [
            (4, "magic, `MIDX`"),
            (4, "reserved"),
            (8, "entry_count"),
            (8, "metadata_count"),
            (8, "entry 0: entry_size, 82"),
            (2, "kind: tensor"),
            (2, "dtype: bfloat16"),
            (2, "layout: strided"),
            (2, "ndim"),
            (8, "name_size"),
            (1, "name, `w`"),
            (8, "dims"),
            (1, "dim_order"),
            (8, "frame_offset, 64"),
            (8, "table_offset, 128"),
            (8, "table_size, 128"),
            (16, "content_id"),
            (8, "checksum"),
            (22, "padding"),
        ],
    ),
    (
        "footer",
        [
            (8, "archive_size, 512"),
            (8, "index_offset, 256"),
            (8, "index_size, 106"),
            (8, "reserved"),
            (16, "content_id"),
            *VERSIONS,
            (40, "reserved"),
            (8, "checksum"),
            (8, "magic, `MCP-end` and a line feed"),
        ],
    ),
]
INTRODUCTION = """\
One entry, the bfloat16 tensor `w` of shape [2] with the values 1.0 and -1.5 (raw bytes `80 3F C0 BF`): 512 bytes."""


def render() -> str:
    lines, position = [INTRODUCTION, ""], 0
    for title, fields in FIELDS:
        lines += [f"**{title}**, {position} to {position + sum(size for size, _ in fields) - 1}:", "", "```"]
        for size, meaning in fields:
            data = ARCHIVE[position : position + size]
            dump = f"00 × {size}" if size > 16 and not any(data) else data.hex(" ").upper()
            lines.append(f"{position:04x}  {dump:<47}  {meaning}")
            position += size
        lines += ["```", ""]
    assert position == len(ARCHIVE)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(render(), end="")
