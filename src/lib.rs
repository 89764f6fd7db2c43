//! The failover plugin.
