//! The kernel side's logic for HTTP/2, run on the host, byte by byte.
//!
//! [`tape`] plays the kernel and the two programs that an event may pass; [`model`] makes
//! conversations whose truth is known because it wrote them, and reads back what was handed over.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod hostile;
mod join;
mod loss;
mod model;
mod splits;
mod table;
mod tape;
