#include "csrc/pybind/buffers.h"

#include "csrc/base/error.h"
#include "csrc/pybind/dlpack.h"

namespace py = pybind11;

namespace mithril {

// Releases what Python lent; the last reference may go on a thread of ours.
template <class Release>
static std::shared_ptr<const void> keep(const void* data, Release release) {
  return std::shared_ptr<const void>(data, [release](const void*) {
    py::gil_scoped_acquire gil;
    release();
  });
}

static LentBytes from_dlpack(const py::object& object) {
  auto device = py::tuple(object.attr("__dlpack_device__")());
  int type = device.size() == 2 ? device[0].cast<int>() : 0;
  // Pinned memory (kDLCUDAHost, kDLROCMHost) is CPU memory too.
  if (type != kDLCPU && type != kDLCUDAHost && type != kDLROCMHost) throw_invalid("buffer: not in CPU memory");
  auto capsule = py::reinterpret_steal<py::object>(object.attr("__dlpack__")().release());
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (!managed) throw py::error_already_set();
  const DLTensor& t = managed->dl_tensor;
  uint64_t count = 1;
  bool contiguous = true;
  for (int i = t.ndim - 1; i >= 0; i--) {
    if (t.strides && t.shape[i] > 1 && t.strides[i] != static_cast<int64_t>(count)) contiguous = false;
    count *= static_cast<uint64_t>(t.shape[i]);
  }
  if (!contiguous && count) throw_invalid("buffer: not contiguous");  // the capsule still owns the tensor
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  LentBytes lent;
  lent.data = static_cast<uint8_t*>(t.data) + t.byte_offset;
  lent.size = count * ((uint64_t{t.dtype.bits} * t.dtype.lanes + 7) / 8);
  lent.keeper = keep(managed, [managed] {
    if (managed->deleter) managed->deleter(managed);
  });
  return lent;
}

LentBytes borrow(const py::object& object, bool writable) {
  if (!PyObject_CheckBuffer(object.ptr())) {
    if (py::hasattr(object, "__dlpack__")) return from_dlpack(object);
    throw_invalid("buffer: " + std::string(Py_TYPE(object.ptr())->tp_name) +
                  " has neither the buffer protocol nor __dlpack__");
  }
  auto* buffer = new Py_buffer;
  if (PyObject_GetBuffer(object.ptr(), buffer,
                         writable ? PyBUF_WRITABLE | PyBUF_ANY_CONTIGUOUS : PyBUF_ANY_CONTIGUOUS) != 0) {
    delete buffer;
    py::error_already_set error;  // takes Python's error
    throw_invalid(std::string("buffer: ") + (writable ? "not contiguous or not writable: " : "not contiguous: ") +
                  error.what());
  }
  LentBytes lent;
  lent.data = static_cast<uint8_t*>(buffer->buf);
  lent.size = static_cast<uint64_t>(buffer->len);
  lent.keeper = keep(buffer, [buffer] {
    PyBuffer_Release(buffer);
    delete buffer;
  });
  return lent;
}

}  // namespace mithril
