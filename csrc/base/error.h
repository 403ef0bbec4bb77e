// The one exception of the core. Python sees one subclass of MithrilError per kind (pybind/errors.cpp).
#pragma once
#include <stdexcept>
#include <string>

namespace mithril {

enum class ErrorKind { kInvalidArgument, kUnsupported, kTruncated, kCorrupt, kNotFound, kIo };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  // An operating system error: `code` is errno, `path` the file it is about.
  Error(int code, const std::string& message, const std::string& path)
      : std::runtime_error(message), kind_(ErrorKind::kIo), code_(code), path_(path) {}

  ErrorKind kind() const { return kind_; }
  int code() const { return code_; }
  const std::string& path() const { return path_; }

 private:
  ErrorKind kind_;
  int code_ = 0;
  std::string path_;
};

[[noreturn]] inline void throw_invalid(const std::string& m) { throw Error(ErrorKind::kInvalidArgument, m); }
[[noreturn]] inline void throw_unsupported(const std::string& m) { throw Error(ErrorKind::kUnsupported, m); }
[[noreturn]] inline void throw_truncated(const std::string& m) { throw Error(ErrorKind::kTruncated, m); }
[[noreturn]] inline void throw_corrupt(const std::string& m) { throw Error(ErrorKind::kCorrupt, m); }

}  // namespace mithril
