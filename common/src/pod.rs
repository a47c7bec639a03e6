//! What the agent may write to globals and read from maps, byte by byte.
#![expect(
    unsafe_code,
    reason = "it is a promise about the types, which only they can keep"
)]

use aya::Pod;

use crate::{accept, block, drop, histogram, memory, offsets, process, sched, socket, tcp};

macro_rules! pods {
    ($($type:ty),+ $(,)?) => {$(
        // SAFETY: `repr(C)` integers without padding; any bytes are a value.
        unsafe impl Pod for $type {}
    )+};
}

pods! {
    accept::AcceptOffsets, accept::Accepted,
    block::BlockOffsets, block::DeviceKey, block::DeviceStats, block::ErrorKey, block::ProcessIo,
    block::Request,
    drop::DropOffsets,
    histogram::Exp2,
    memory::MemoryOffsets, memory::MemoryStalls, memory::MemoryTally,
    offsets::Offsets,
    process::ProcessKey, process::ProcessOffsets, process::Task,
    sched::SchedHost, sched::SchedOffsets, sched::SchedTally,
    socket::SocketAddress,
    tcp::Connection, tcp::Figures, tcp::Tally, tcp::TcpOffsets,
}
