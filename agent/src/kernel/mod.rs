//! The kernel side: loading the programs, attaching them, reading what they send.

pub mod accept;
pub mod batch;
pub mod block;
pub mod btf;
pub mod counters;
pub mod drop;
pub mod info;
pub mod interfaces;
pub mod memory;
pub mod namespaces;
pub mod object;
pub mod offsets;
mod positions;
pub mod records;
pub mod room;
pub mod sched;
pub mod sock_diag;
pub mod socket;
pub mod tcp;
pub mod telemetry;
pub mod tls;

/// One place in the kernel that hark listens at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The object that its program is in, for example `socket`.
    pub object: &'static str,
    /// The kernel's name for it, for example `sock_send_length`.
    pub name: &'static str,
    /// How it is attached, for example `tp_btf`.
    pub kind: &'static str,
    /// What the user loses without it.
    pub gives: &'static str,
    /// Why it is not attached, in words; `None` if it is.
    pub failure: Option<String>,
}
