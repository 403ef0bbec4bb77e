"""The published recipe for floats: exponents apart from signs and mantissas, entropy-coded; the others stored."""

from openzl import ext

NAME, PACKAGE, INTO = "OpenZL", "openzl", False
source = bytes


def prepare(dtype):
    graphs, nodes = ext.graphs, ext.nodes
    compressor = ext.Compressor()
    if dtype == "float8_e4m3fn":  # no recipe of its own
        start = graphs.Huffman()(compressor)
    else:
        split, convert = {
            "bfloat16": (nodes.BFloat16Deconstruct, nodes.ConvertSerialToNumLE16),
            "float16": (nodes.Float16Deconstruct, nodes.ConvertSerialToNumLE16),
            "float32": (nodes.Float32Deconstruct, nodes.ConvertSerialToNumLE32),
        }[dtype]
        # The 11 bits beside an exponent of float16 come in 16, and code best; those of the others are noise.
        rest = graphs.Huffman() if dtype == "float16" else graphs.Store()
        fields = split()(compressor, rest(compressor), graphs.Huffman()(compressor))
        start = convert()(compressor, fields)
    compressor.select_starting_graph(start)

    def compress(data):
        context = ext.CCtx()
        context.ref_compressor(compressor)
        context.set_parameter(ext.CParam.FormatVersion, ext.MAX_FORMAT_VERSION)
        return context.compress([ext.Input(ext.Type.Serial, data)])

    return compress, lambda blob, out: ext.DCtx().decompress(blob)[0].content.as_bytes()
