//! Types that cross the boundary between the kernel programs and the agent.
//!
//! Every type here is `#[repr(C)]`, holds no padding whose content is undefined, and has its size
//! and alignment asserted at compile time, because two compilers with two targets read the same
//! bytes. There is no logic here: what the kernel side does with them lives in `ebpf`, what the
//! agent makes of them in `agent`. A subsystem has the same name in all three trees.

#![no_std]
#![deny(unsafe_code)]

pub mod accept;
pub mod block;
pub mod counter;
pub mod drop;
pub mod histogram;
pub mod http2;
pub mod memory;
pub mod offsets;
#[cfg(feature = "agent")]
mod pod;
pub mod process;
pub mod sched;
pub mod socket;
pub mod tcp;
pub mod tls;
