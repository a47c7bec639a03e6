//! Records of one connection put together into exchanges.
