/* What the two units of this program share. */
#include "vms_failover.hpp"
#include "vms_failover.hpp" /* twice does no harm */

/* In other.cpp: the owner of a library crosses units. */
std::string version_of(const vmsf::library &library);
