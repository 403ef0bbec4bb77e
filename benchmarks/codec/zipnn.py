from zipnn import ZipNN

NAME, PACKAGE, INTO = "ZipNN", "zipnn", False
source = bytearray  # compress works in place


def prepare(dtype):
    codec = ZipNN(input_format="byte", bytearray_dtype=dtype, threads=1)
    return codec.compress, lambda blob, out: codec.decompress(blob)
