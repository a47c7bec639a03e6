//! The part of the kernel programs that is plain logic, compiled for the kernel and, under test,
//! for the host.

#![no_std]
