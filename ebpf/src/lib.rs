//! The part of the kernel programs that is plain logic, compiled for the kernel and, under test,
//! for the host.
//!
//! The kernel side follows the framing of HTTP/1 so that it can tell where a head begins and
//! where a message ends, copy only request heads, and stay silent during bodies; and the frames of
//! HTTP/2, to copy header blocks and pass over what streams carry. That logic is worth testing byte
//! by byte, which the kernel does not allow; so it is written against the [`env::Env`] trait and
//! knows nothing of BPF. `socket.rs` and what is in `socket/` bind it to the kernel.
//!
//! Written for the verifier: no slices, no panics, every index masked, loops bounded, all state in
//! one place of known size.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod classify;
pub mod env;
pub mod exchange;
pub mod histogram;
pub mod http1;
pub mod http2;
#[cfg(target_arch = "bpf")]
pub mod kernel;
#[cfg(target_arch = "bpf")]
pub mod task_storage;
pub mod walk;
