//! The kernel side's logic, run on the host, byte by byte.
//!
//! [`tape`] plays the kernel: it feeds system calls and keeps the records. [`model`] makes
//! conversations whose truth is known because it wrote them.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod hostile;
mod loss;
mod model;
mod splits;
mod table;
mod tape;
mod trail;
