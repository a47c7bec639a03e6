//! What the block programs count: requests to disks, by device and by process.

use crate::histogram::Exp2;
use crate::process::{ProcessKey, ProcessOffsets, Task};

/// Disks that are told apart. What is beyond is counted ([`Counter::DeviceLimit`]).
pub const MAX_DEVICES: u32 = 64;
/// Requests in flight that are followed at once, over all disks.
pub const MAX_REQUESTS: u32 = 16_384;
/// Processes that are told apart between two looks of the agent.
pub const MAX_PROCESSES: u32 = 4_096;
/// Pairs of a disk and an error.
pub const MAX_ERRORS: u32 = 512;

/// What a request asks for, as `/proc/diskstats` groups it (`op_stat_group`), and one more.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `REQ_OP_READ`, and all that only reads.
    Read = 0,
    /// `REQ_OP_WRITE`, and all that changes the medium but discards.
    Write,
    /// `REQ_OP_DISCARD`.
    Discard,
    /// `REQ_OP_FLUSH`, or a write without data that asks for a flush before it.
    Flush,
    /// A command of the driver or from user space, `REQ_OP_DRV_IN` and `REQ_OP_DRV_OUT`.
    Other,
}

impl Operation {
    /// How many there are.
    pub const COUNT: usize = Self::Other as usize + 1;
    /// All, by their number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Read,
        Self::Write,
        Self::Discard,
        Self::Flush,
        Self::Other,
    ];
}

/// A request in flight, by its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Whose it is; all zero if that is the kernel, or not known.
    pub owner: ProcessKey,
    /// Since when it waits, ns (`CLOCK_MONOTONIC`); 0 if that was not seen.
    pub queued_ns: u64,
    /// When the device got it, ns; 0 while it has not.
    pub issued_ns: u64,
    /// Bytes that are done.
    pub bytes: u64,
    /// An [`Operation`].
    pub operation: u32,
    /// 1 once it was inserted into a queue.
    pub inserted: u32,
}

/// Names what is counted of one disk and one operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// `gendisk.major` and `gendisk.first_minor`, as `MKDEV` of the kernel puts them together.
    pub device: u32,
    /// An [`Operation`].
    pub operation: u32,
}

/// What is counted of one disk and one operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// From the start of a request, or its insertion into the scheduler's queue, until it was issued
    /// to the device.
    pub queue_wait: Exp2,
    /// From the issue to the device until it was complete.
    pub device_time: Exp2,
    /// Requests that the driver gave back to the queue.
    pub requeues: u64,
    /// `gendisk.disk_name`, padded with zeros; empty in the moment in which the entry is made.
    pub name: [u8; 32],
}

/// Names a counter of errors.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorKey {
    /// As in [`DeviceKey`].
    pub device: u32,
    /// `blk_status_t`, as this kernel numbers it.
    pub status: u32,
}

/// What one process's own threads have submitted and the disks have completed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessIo {
    /// Who it is.
    pub task: Task,
    /// Requests, by [`Operation`].
    pub operations: [u64; Operation::COUNT],
    /// Bytes, by [`Operation`].
    pub bytes: [u64; Operation::COUNT],
}

/// A slot of the per-CPU array `COUNTERS` of the block programs.
///
/// The order is part of the boundary: append only, and raise [`Counter::COUNT`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests that ended and whose start was not seen: they were in flight when the programs were
    /// attached, or there were more in flight than are followed.
    StartUnseen = 0,
    /// Requests to a disk beyond [`MAX_DEVICES`].
    DeviceLimit,
    /// Requests of a process beyond [`MAX_PROCESSES`].
    ProcessLimit,
    /// Requests that ended after their process, so late that the agent had closed its account.
    ProcessGone,
    /// Errors beyond [`MAX_ERRORS`].
    ErrorLimit,
    /// Requests whose end was not seen: another one was started at their address.
    EndUnseen,
}

impl Counter {
    /// Number of slots.
    pub const COUNT: u32 = Self::EndUnseen as u32 + 1;
}

/// Byte offsets into kernel structures.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockOffsets {
    /// What names a process.
    pub process: ProcessOffsets,
    /// `struct request.q` (`struct request_queue *`).
    pub request_q: u32,
    /// `struct request.cmd_flags` (`u32`): the operation in its low byte.
    pub request_cmd_flags: u32,
    /// `struct request.__data_len` (`unsigned int`): bytes that are left.
    pub request_data_len: u32,
    /// `struct request_queue.disk` (`struct gendisk *`), null for a queue that is no disk's.
    pub queue_disk: u32,
    /// `struct gendisk.major` (`int`).
    pub disk_major: u32,
    /// `struct gendisk.first_minor` (`int`).
    pub disk_first_minor: u32,
    /// `struct gendisk.disk_name` (`char[32]`).
    pub disk_name: u32,
}

const _: () = {
    assert!(size_of::<Request>() == 48 && align_of::<Request>() == 8);
    assert!(size_of::<DeviceKey>() == 8 && align_of::<DeviceKey>() == 4);
    assert!(size_of::<DeviceStats>() == 2 * 29 * 8 + 8 + 32 && align_of::<DeviceStats>() == 8);
    assert!(size_of::<ErrorKey>() == 8 && align_of::<ErrorKey>() == 4);
    assert!(size_of::<ProcessIo>() == 48 + 80 && align_of::<ProcessIo>() == 8);
    assert!(size_of::<BlockOffsets>() == 17 * 4 && align_of::<BlockOffsets>() == 4);
};
