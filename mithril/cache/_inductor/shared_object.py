"""Whether a shared object is all there: a linker that dies leaves a part of one, and loading that kills the process."""

import struct

# Of the ELF header, 64 bits, little-endian: magic and class; offsets of the program and section headers; their sizes.
_HEADER = struct.Struct("<16s2HI3QI6H")
_PROGRAM_HEADER = struct.Struct("<2I6Q")
_LOADED = 1


def is_whole(data: bytes) -> bool:
    """Whether everything that the headers of this ELF file name lies within it."""
    if len(data) < _HEADER.size or data[:6] != b"\x7fELF\x02\x01":
        return False
    fields = _HEADER.unpack_from(data)
    programs, sections = fields[5], fields[6]
    program_bytes, program_count, section_bytes, section_count = fields[9:13]
    if section_count == 0 or sections + section_count * section_bytes > len(data):
        return False
    if program_bytes != _PROGRAM_HEADER.size or programs + program_count * program_bytes > len(data):
        return False
    for number in range(program_count):
        kind, _, offset, _, _, in_file, _, _ = _PROGRAM_HEADER.unpack_from(data, programs + number * program_bytes)
        if kind == _LOADED and offset + in_file > len(data):
            return False
    return True
