//! The accept object: loaded, attached, and its maps.

use aya::maps::{Array, HashMap, MapData};
use hark_common::accept::{AcceptOffsets, Accepted};
use hark_common::histogram::Exp2;
use hark_common::process::ProcessKey;

use super::btf::{Btf, BtfError};
use super::counters::Counters;
use super::object::cgroup::OnCgroup;
use super::object::{Object, ObjectError, Types, Wanted};
use super::offsets::{from_btf, process_from_btf};

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_ACCEPT_OBJECT"));

const GIVES: &str = "how long connections wait to be accepted";

/// What this object attaches to.
pub const WANTED: [Wanted; 1] = [Wanted {
    name: "inet_sock_set_state",
    args: 3,
    gives: GIVES,
    required: true,
    since: "; it came with Linux 4.16",
}];

/// What it attaches to the host's cgroups.
pub const ON_CGROUP: [OnCgroup; 2] = [
    OnCgroup {
        name: "getpeername4",
        gives: GIVES,
    },
    OnCgroup {
        name: "getpeername6",
        gives: GIVES,
    },
];

/// Loads and attaches the programs. What `own_pid` accepts is left out.
///
/// # Errors
///
/// The maps cannot be made, a field is missing, or a program cannot be attached.
pub fn load(types: &Types, own_pid: u32) -> Result<Object, ObjectError> {
    let offsets = offsets(&types.btf)?;
    let process = process_from_btf(&types.btf)?;
    let mut loader = types.loader("accept");
    loader
        .override_global("OFFSETS", &offsets, true)
        .override_global("PROCESS", &process, true)
        .override_global("OWN_PID", &own_pid, true);
    let mut object = Object::load("accept", OBJECT, &WANTED, types, &mut loader)?;
    object.attach_to_cgroup(&ON_CGROUP)?;
    Ok(object)
}

fn offsets(btf: &Btf) -> Result<AcceptOffsets, BtfError> {
    let common = from_btf(btf)?;
    Ok(AcceptOffsets {
        sock_socket: common.sock_socket,
        task_stack: btf.offset_of("task_struct", "stack")?,
        regs_syscall: common.regs_syscall,
        machine: common.machine,
    })
}

/// The maps of the object.
pub struct Maps {
    /// By process.
    pub processes: HashMap<MapData, ProcessKey, Accepted>,
    /// All that were accepted, by whomever.
    pub host: Array<MapData, Exp2>,
    /// By [`hark_common::accept::Counter`].
    pub counters: Counters,
}

impl Maps {
    /// Takes them out of the object.
    ///
    /// # Errors
    ///
    /// It has not all of them, which only a stale build can cause.
    pub fn take(object: &mut Object) -> Result<Self, ObjectError> {
        Ok(Self {
            processes: object.map("PROCESSES")?,
            host: object.map("HOST")?,
            counters: Counters::take(object, "COUNTERS")?,
        })
    }
}
