//! Request heads of HTTP/1.

/// Longest path kept of a request target, in bytes.
pub const PATH_LIMIT: usize = 1024;
