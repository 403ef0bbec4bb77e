#include "csrc/pybind/module.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The native core: archives without torch. Private; the public names are in `mithril`.";
  mithril::bind_errors(m);
  mithril::bind_base(m);
  mithril::bind_writer(m);
  mithril::bind_reader(m);
  mithril::bind_store(m);
  mithril::bind_dedup(m);
  mithril::bind_dedup_index(m);
  mithril::bind_dedup_pairs(m);
  mithril::bind_dedup_files(m);
}
