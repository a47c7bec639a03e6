//! The drop object: loaded, attached, and its maps.

use hark_common::drop::DropOffsets;

use super::btf::{Btf, BtfError};
use super::counters::Counters;
use super::object::{Object, ObjectError, Types, Wanted};

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_DROP_OBJECT"));

/// What this object attaches to.
pub const WANTED: [Wanted; 4] = [
    Wanted {
        name: "kfree_skb",
        args: 3,
        gives: "dropped packets by the kernel's reason, which it gives since Linux 5.17",
        required: false,
        since: "",
    },
    Wanted {
        name: "sock_rcvqueue_full",
        args: 2,
        gives: "packets that found the receive buffer of a raw or packet socket full",
        required: false,
        since: "",
    },
    Wanted {
        name: "udp_fail_queue_rcv_skb",
        args: 2,
        gives: "packets that found the receive buffer of a UDP socket full",
        required: false,
        since: "",
    },
    Wanted {
        name: "sock_exceed_buf_limit",
        args: 4,
        gives: "sockets that were refused memory by the limit of their protocol",
        required: false,
        since: "",
    },
];

/// Loads and attaches the programs.
///
/// # Errors
///
/// The maps cannot be made, or a field is missing.
pub fn load(types: &Types) -> Result<Object, ObjectError> {
    let offsets = offsets(&types.btf)?;
    let mut loader = types.loader("drop");
    loader.override_global("OFFSETS", &offsets, true);
    Object::load("drop", OBJECT, &WANTED, types, &mut loader)
}

fn offsets(btf: &Btf) -> Result<DropOffsets, BtfError> {
    Ok(DropOffsets {
        sock_protocol: btf.offset_of("sock", "sk_protocol")?,
        sock_family: btf.offset_of("sock", "__sk_common.skc_family")?,
    })
}

/// The arrays of the object.
pub struct Maps {
    /// Packets by slot of [`hark_common::drop`].
    pub drops: Counters,
    /// Packets that found a receive buffer full, by protocol.
    pub queue_full: Counters,
    /// Refusals of memory, by protocol.
    pub memory_limit: Counters,
}

impl Maps {
    /// Takes them out of the object.
    ///
    /// # Errors
    ///
    /// It has not all of them, which only a stale build can cause.
    pub fn take(object: &mut Object) -> Result<Self, ObjectError> {
        Ok(Self {
            drops: Counters::take(object, "DROPS")?,
            queue_full: Counters::take(object, "QUEUE_FULL")?,
            memory_limit: Counters::take(object, "MEMORY_LIMIT")?,
        })
    }
}
