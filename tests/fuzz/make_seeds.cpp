// Seeds that only the core can make: make_seeds FOLDER writes to FOLDER/stream, FOLDER/table and FOLDER/dedup_index.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <set>
#include <string>

#include "csrc/codec/codec.h"
#include "csrc/dedup/batch_segment.h"
#include "csrc/dedup/index_file.h"
#include "tests/cpp/coder/rans_planes.h"

using namespace mithril;

static constexpr size_t kLargest = 1500;  // bytes of a seed
static uint64_t seeds = 0;

static void append(std::string& seed, uint64_t value, int width) {
  for (int k = 0; k < width; k++) seed.push_back(static_cast<char>(value >> 8 * k));
}
static void append(std::string& seed, const uint8_t* bytes, size_t size) {
  seed.append(reinterpret_cast<const char*>(bytes), size);
}

static void write(const std::filesystem::path& folder, const std::string& name, const std::string& seed) {
  if (seed.size() > kLargest) return;
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary).write(seed.data(), static_cast<std::streamsize>(seed.size()));
  seeds++;
}

enum Contexts : uint8_t { kNone, kGiven, kLane };

// Widths are numbered as in stream.cpp.
static void write_stream(const std::filesystem::path& folder, const std::string& name, Coder coder, uint32_t bits,
                         Contexts contexts, uint64_t count, const Bytes& stream) {
  std::string seed;
  uint32_t width = bits <= 8 ? bits - 1 : 8u + static_cast<uint32_t>(__builtin_ctz(bits / 16));
  append(seed, static_cast<uint64_t>(coder), 1), append(seed, width + 12 * contexts, 1), append(seed, count, 2);
  append(seed, stream.data(), stream.size());
  write(folder, name, seed);
}

static void write_streams(const std::filesystem::path& folder) {
  CoderScratch scratch;
  auto encode = [&](const std::string& name, RansModel model, const Bytes& plane, uint32_t bits, Contexts contexts,
                    const Bytes& context) {
    Bytes out(4 * plane.size() + 9000);
    scratch.rans[0].model = std::move(model);
    out.resize(encode_context_rans({plane.data(), plane.size(), bits}, contexts ? context.data() : nullptr, out.data(),
                                   out.size(), scratch.rans[0], rans_kernels(isa())));
    write_stream(folder, "context_rans-" + name, Coder::kContextRans, bits, contexts, plane.size(), out);
  };
  for (Content content : kContents)
    for (uint32_t bits : {2, 8})
      for (uint64_t n : {70, 1100}) {
        std::string name =
            std::to_string(static_cast<int>(content)) + "-" + std::to_string(bits) + "-" + std::to_string(n);
        Bytes plane = rans_symbols(content, n, bits), given(n), lane = lane_context(plane, 64);
        for (uint64_t i = 0; i < n; i++) given[i] = static_cast<uint8_t>(i * 29 % 251);  // as in stream.cpp
        auto class_of = [](uint32_t c) { return c % 3; };
        uint32_t size = bits == 2 ? 3 : 9;
        encode("table-" + name, segments_of(plane, {}, {size}, n == 70 ? 128 : 64), plane, bits, kNone, {});
        encode("given-" + name, classes_of(plane, given, 3, size, 64, class_of, bits), plane, bits, kGiven, given);
        encode("lane-" + name, classes_of(plane, lane, 3, size, 64, class_of, bits), plane, bits, kLane, lane);
        if (n > kRansUnit) encode("segments-" + name, segments_of(plane, {1}, {size, 0}, 64), plane, bits, kNone, {});
      }
  for (uint32_t bits : {16, 32, 64, 128})
    for (uint64_t values : {1, 3, 20, 256})
      for (uint64_t n : {300, 2000}) {
        Bytes palette = random_bytes(values * bits / 8, bits), plane(n * bits / 8);
        Random random(n);
        for (uint64_t i = 0; i < n; i++) {
          uint64_t v = std::min(random.below(values), random.below(values));
          std::copy_n(&palette[v * bits / 8], bits / 8, &plane[i * bits / 8]);
        }
        Bytes out(plane.size() + 400);
        out.resize(encode_palette({plane.data(), n, bits}, out.data(), out.size(), scratch));
        write_stream(folder, "palette-" + std::to_string(bits) + "-" + std::to_string(values) + "-" + std::to_string(n),
                     Coder::kPalette, bits, kNone, n, out);
      }
}

// What the encoder makes of tensors of one block, in every effort: one of each kind.
static void write_tables(const std::filesystem::path& folder) {
  Scratch scratch;
  std::set<std::string> seen;
  for (uint8_t number = 0; number < std::size(kDTypes); number++)
    for (Pattern pattern : kPatterns)
      for (int level : {1, 3, 19}) {
        const DTypeInfo& d = kDTypes[number];
        uint64_t elements = (d.exponent_bits ? 1400 : 700) / d.element_bytes;
        Bytes raw = sample(d, pattern, elements), out(encoded_capacity(raw.size()) + 400);
        EncodedBlock block = encode_block(raw.data(), elements, d, {level, true}, scratch, out.data());
        std::string kind{static_cast<char>(number), static_cast<char>(block.recipe.transform)};
        for (uint32_t k = 0; k < block.recipe.planes.count; k++)
          append(kind, static_cast<uint64_t>(block.streams[k].coder), 1),
              append(kind, static_cast<uint64_t>(block.recipe.contexts[k].kind), 1);
        if (!seen.insert(kind).second) continue;
        Table table;
        table.block_elements = elements;
        table.recipes = {block.recipe};
        table.streams.assign(block.streams.begin(), block.streams.begin() + block.recipe.planes.count);
        table.blocks = {{block.stored_size, block.stored_checksum, block.raw_checksum, 0, 0, 0}};
        Bytes bytes = write_table(table);
        std::string seed;  // as in table.cpp
        append(seed, number, 1), append(seed, 0, 1), append(seed, elements, 4), append(seed, bytes.size(), 2);
        append(seed, bytes.data(), bytes.size()), append(seed, block.data, block.stored_size);
        write(folder,
              "core-" + std::string(d.name) + "-" + std::to_string(static_cast<int>(pattern)) + "-" +
                  std::to_string(level),
              seed);
      }
}

namespace {
struct FewTexts : dedup::Texts {
  explicit FewTexts(uint64_t count) : texts_(count) {}
  uint64_t count() const override { return texts_; }
  std::string_view text(uint64_t i, std::string&) const override {
    constexpr const char* kTexts[] = {"one of the texts that the seeds hold", "one of the texts that the seeds held",
                                      "one of the texts that the seeds hold", "ein Text über etwas ganz anderes"};
    return kTexts[i];
  }
  uint64_t texts_;
};
}  // namespace

// Indexes of few documents, with each kind of ids, with and without texts.
static void write_dedup_indexes(const std::filesystem::path& folder) {
  for (uint64_t count : {0, 1, 4})
    for (bool stores_texts : {false, true})
      for (dedup::IdKind ids : {dedup::IdKind::kAutomatic, dedup::IdKind::kNumbers, dedup::IdKind::kTexts}) {
        dedup::IndexParameters p;
        p.shape = {16, 2, 3, 1};
        p.threshold = 0.5, p.stores_texts = stores_texts, p.ids = ids;
        dedup::Sketcher sketcher(p.rules, p.shape);
        FewTexts texts(count);
        dedup::BatchSketches sketches(texts, sketcher, 1, nullptr);
        std::vector<uint64_t> chosen(count);
        std::iota(chosen.begin(), chosen.end(), 0);
        dedup::BatchIds batch_ids{std::vector<int64_t>(count, 7), std::vector<std::string>(count, "id")};
        dedup::Part part;
        part.segment = dedup::make_segment(p, texts, sketches, chosen, batch_ids, 1);
        std::string seed;
        append(seed, 1, 1);  // read in full, as in dedup_index.cpp
        dedup::write_index_file(p, {part}, count, [&](ByteView view) { append(seed, view.data, view.size); });
        std::string name =
            std::to_string(count) + (stores_texts ? "-texts-" : "-none-") + std::to_string(static_cast<int>(ids));
        write(folder, "core-full-" + name, seed);
        seed[0] = 0;
        write(folder, "core-" + name, seed);
      }
}

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "make_seeds FOLDER\n", 1;
  std::filesystem::path folder = argv[1];
  write_streams(folder / "stream");
  write_tables(folder / "table");
  write_dedup_indexes(folder / "dedup_index");
  std::cout << seeds << " seeds of the core\n";
}
