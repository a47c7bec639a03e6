//! What the drop programs count, by slot of per-CPU arrays.

/// Reasons of the kernel's own (`enum skb_drop_reason`) that are told apart. Linux 6.18 has 122.
pub const REASONS: u32 = 512;

/// Subsystems with reasons of their own (`enum skb_drop_reason_subsys`) that are told apart; their
/// number is in the reason's upper half. Linux 6.18 has 4.
pub const SUBSYSTEMS: u32 = 32;

/// Where the subsystems begin among the slots of `DROPS`: first the kernel's own reasons by their
/// number, then the subsystems by theirs, then [`SLOT_OTHER`].
pub const SLOT_SUBSYSTEM: u32 = REASONS;

/// Slot of `DROPS` for what is beyond both.
pub const SLOT_OTHER: u32 = SLOT_SUBSYSTEM + SUBSYSTEMS;

/// Slots of `DROPS`.
pub const SLOTS: u32 = SLOT_OTHER + 1;

/// Protocols (`IPPROTO_…`) of sockets whose buffer was full that are told apart, 0 for those that
/// are not of the internet family; one slot more counts the rest.
pub const PROTOCOLS: u32 = 256;

/// Slots of `QUEUE_FULL` and of `MEMORY_LIMIT`.
pub const PROTOCOL_SLOTS: u32 = PROTOCOLS + 1;

/// Where the drop programs find what they read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropOffsets {
    /// `struct sock.sk_protocol` (`u16`; the low byte is read, which before Linux 5.6 was all).
    pub sock_protocol: u32,
    /// `struct sock.__sk_common.skc_family` (`unsigned short`).
    pub sock_family: u32,
}

const _: () = assert!(size_of::<DropOffsets>() == 8 && align_of::<DropOffsets>() == 4);
