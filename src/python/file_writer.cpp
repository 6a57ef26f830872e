// SPDX-License-Identifier: Apache-2.0
#include "python/file_writer.h"

#include <cerrno>
#include <cstddef>

#include <fcntl.h>
#include <unistd.h>

namespace torchtrt::python {
namespace {

namespace py = pybind11;

class FileWriter {
 public:
  /// Of a copy of the descriptor: PyTorch's writer may outlive the file that it was made for, and write at its end.
  explicit FileWriter(int descriptor) : descriptor_(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) {
    if (descriptor_ >= 0) return;
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }

  ~FileWriter() { ::close(descriptor_); }
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  /// The size of `data` in bytes, whether or not it was written.
  std::size_t write(const py::buffer& data) {
    const py::buffer_info view = data.request();
    const std::size_t size = static_cast<std::size_t>(view.size) * static_cast<std::size_t>(view.itemsize);
    const py::gil_scoped_release release;
    const char* rest = static_cast<const char*>(view.ptr);
    for (std::size_t left = size; left > 0 && error_ == 0;) {
      const ssize_t written = ::write(descriptor_, rest, left);
      if (written >= 0) {
        rest += written;
        left -= static_cast<std::size_t>(written);
      } else if (errno != EINTR) {
        error_ = errno;
      }
    }
    return size;
  }

  int error() const { return error_; }

 private:
  int descriptor_;
  int error_ = 0;
};

}  // namespace

void bind_file_writer(py::module_& module) {
  py::class_<FileWriter>(module, "FileWriter", "Writes to a file without ever raising.")
      .def(py::init<int>(), py::arg("descriptor"))
      .def("write", &FileWriter::write, py::arg("data"))
      .def_property_readonly("error", &FileWriter::error);
}

}  // namespace torchtrt::python
