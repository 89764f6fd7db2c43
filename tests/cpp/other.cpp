#include "unit.hpp"

std::string version_of(const vmsf::library &library) { return library.info().version; }
