//! What the accept programs keep: how long connections waited to be accepted.

use crate::histogram::Exp2;
use crate::process::Task;

/// What a process has accepted. All values only grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Who the process is, as it was at its first accept.
    pub task: Task,
    /// From the end of the handshake to the accept.
    pub wait: Exp2,
    /// Connections whose accept was not seen, because the caller did not ask for the peer's
    /// address; known when such a connection is closed.
    pub unseen: u64,
}

/// A slot of the array `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Connections whose accept was not seen, by whatever process.
    Unseen = 0,
    /// Connections that the kernel had no memory to keep a time for.
    StorageFailed,
    /// Accepts that count for the host alone, because the map by process was full.
    MapFull,
}

impl Counter {
    /// Number of slots.
    pub const COUNT: u32 = Self::MapFull as u32 + 1;
}

/// Processes that are kept apart; those beyond count for the host alone.
pub const MAX_PROCESSES: u32 = 8192;

/// Where the accept programs find what they read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptOffsets {
    /// `struct sock.sk_socket` (`struct socket *`): null until the connection is accepted.
    pub sock_socket: u32,
    /// `struct task_struct.stack` (`void *`).
    pub task_stack: u32,
    /// `struct pt_regs`: the system call number (x86-64 `orig_ax`, aarch64 `regs[8]`).
    pub regs_syscall: u32,
    /// Whose system call numbers: [`crate::offsets::MACHINE_X86_64`] or
    /// [`crate::offsets::MACHINE_AARCH64`].
    pub machine: u32,
}

const _: () = {
    assert!(size_of::<Accepted>() == 48 + 232 + 8 && align_of::<Accepted>() == 8);
    assert!(size_of::<AcceptOffsets>() == 16 && align_of::<AcceptOffsets>() == 4);
};
