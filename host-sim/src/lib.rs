//! Emulates the host of the vms-failover plugin.
