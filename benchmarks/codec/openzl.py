"""The published recipe for floats: exponents apart from signs and mantissas, entropy-coded; the others stored.

Integers and bool get the graph that OpenZL has for numbers in general.
"""

from openzl import ext

from benchmarks.codec.dtypes import WIDTHS

NAME, PACKAGE, INTO = "OpenZL", "openzl", False
source = bytes
SPLITS = {"bfloat16": "BFloat16Deconstruct", "float16": "Float16Deconstruct", "float32": "Float32Deconstruct"}


def prepare(dtype):
    graphs, nodes = ext.graphs, ext.nodes
    compressor = ext.Compressor()
    bits = 8 * WIDTHS[dtype]
    convert = getattr(nodes, f"ConvertSerialToNum{'LE' if bits > 8 else ''}{bits}")
    if dtype == "float8_e4m3fn":  # no recipe of its own
        start = graphs.Huffman()(compressor)
    elif dtype in SPLITS:
        # The 11 bits beside an exponent of float16 come in 16, and code best; those of the others are noise.
        rest = graphs.Huffman() if dtype == "float16" else graphs.Store()
        fields = getattr(nodes, SPLITS[dtype])()(compressor, rest(compressor), graphs.Huffman()(compressor))
        start = convert()(compressor, fields)
    else:
        start = convert()(compressor, graphs.Compress()(compressor))
    compressor.select_starting_graph(start)

    def compress(data):
        context = ext.CCtx()
        context.ref_compressor(compressor)
        context.set_parameter(ext.CParam.FormatVersion, ext.MAX_FORMAT_VERSION)
        return context.compress([ext.Input(ext.Type.Serial, data)])

    return compress, lambda blob, out: ext.DCtx().decompress(blob)[0].content.as_bytes()
