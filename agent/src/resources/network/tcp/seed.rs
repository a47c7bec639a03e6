//! What was there before the agent: listeners and connections, and whose they are.
//!
//! Done once, when the programs are attached. Who has a socket is read from the links of
//! `/proc/PID/fd`, for so long and no longer; what is not found by then belongs to nobody.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hark_common::process::{ProcessKey, Task};
use hark_common::socket::SocketAddress;
use hark_common::tcp::{Connection, role, state};

use crate::kernel::sock_diag::{self, Ask, MAX_SOCKETS, SockDiagError, TcpSocket};
use crate::kernel::tcp::TcpPrograms;
use crate::process_stat::nanos;
use crate::resources::Host;
use crate::resources::census::Process;

/// How long each of the looks may take: at the sockets, at who has them, at the sockets again.
const BUDGET: Duration = Duration::from_millis(500);

/// `SYN_SENT` of `include/net/tcp_states.h`.
const SYN_SENT: u8 = 2;

/// Introduces to the kernel side what it did not see being made.
pub(super) fn seed(programs: &mut TcpPrograms, host: &Host) {
    if let Err(why @ SockDiagError::Missing) = sock_diag::probe(Instant::now() + BUDGET) {
        tracing::warn!(
            %why,
            "accept queues, connections from before the agent, and what open connections have moved \
             so far are not known"
        );
        return;
    }
    let look = host.census.look();
    let listeners = sockets(host, Ask::Listeners);
    let connections = sockets(host, Ask::Connections);
    let wanted: HashSet<u32> = listeners
        .iter()
        .chain(&connections)
        .map(|(_, socket)| socket.inode)
        .filter(|inode| *inode != 0)
        .collect();
    let holders = holders(&host.proc_root, &look.processes, wanted);
    let whose = |socket: &TcpSocket| holders.get(&socket.inode).copied().unwrap_or_default();

    let mut listening = HashSet::new();
    for (netns, socket) in &listeners {
        let at = address(*netns, socket);
        listening.insert(at);
        let task = whose(socket);
        if task.process.pid != 0 {
            programs.seed_listener(at, task);
        }
    }
    let mut introduced = HashSet::new();
    for (netns, socket) in &connections {
        // Its beginning was not seen, and cannot be told any more.
        if socket.state == SYN_SENT {
            continue;
        }
        let at = address(*netns, socket);
        let everywhere = SocketAddress {
            addr: [0; 16],
            ..at
        };
        let served = listening.contains(&at) || listening.contains(&everywhere);
        let connection = Connection {
            task: whose(socket),
            opened_ns: 0,
            sent_before: socket.counters.sent,
            received_before: socket.counters.received,
            retransmits: socket.counters.retransmits,
            role: if served { role::SERVER } else { role::CLIENT },
            state: state::OPEN,
            reserved: [0; 2],
        };
        if programs.seed_connection(socket.cookie, connection) {
            introduced.insert(socket.cookie);
        }
    }
    if introduced.is_empty() {
        return;
    }
    // Of one that ended between the look and its introduction, the kernel side hears no more.
    for (_, socket) in sockets(host, Ask::Connections) {
        introduced.remove(&socket.cookie);
    }
    for cookie in introduced {
        programs.forget_connection(cookie);
    }
}

/// The sockets of all namespaces, with the namespace of each.
fn sockets(host: &Host, ask: Ask) -> Vec<(u32, TcpSocket)> {
    let look = host.census.look();
    let pids = look.processes.iter().map(|process| process.pid);
    let deadline = Instant::now() + BUDGET;
    let found = sock_diag::everywhere(&host.proc_root, pids, ask, MAX_SOCKETS, deadline);
    // Once for all namespaces: there may be hundreds, all for the same reason.
    match found.why {
        Some(why) => tracing::warn!(
            namespaces = found.unread,
            %why,
            "TCP sockets from before the agent are not all known"
        ),
        None if found.forbidden > 0 => tracing::warn!(
            namespaces = found.forbidden,
            "TCP sockets from before the agent are not known in other network namespaces: entering \
             one needs CAP_SYS_ADMIN"
        ),
        None => {}
    }
    found.sockets
}

/// Who has these sockets, by inode: of several processes the oldest, for children inherit; but one
/// that is not process 1 before that one, which opens sockets for others.
fn holders(
    proc_root: &Path,
    processes: &[Process],
    mut wanted: HashSet<u32>,
) -> HashMap<u32, Task> {
    let deadline = Instant::now() + BUDGET;
    let mut oldest: Vec<&Process> = processes.iter().collect();
    oldest.sort_by_key(|process| (process.pid == 1, process.start_ticks, process.pid));
    let mut found = HashMap::new();
    for process in oldest {
        if wanted.is_empty() || Instant::now() >= deadline {
            break;
        }
        for inode in sock_diag::held_by(proc_root, process.pid) {
            if Instant::now() >= deadline {
                break;
            }
            if wanted.remove(&inode) {
                found.insert(inode, task(process));
            }
        }
    }
    found
}

fn task(process: &Process) -> Task {
    Task {
        process: ProcessKey {
            start_boottime_ns: nanos(process.start_ticks),
            pid: process.pid,
            exec_id: 0,
        },
        ..Task::default()
    }
}

/// This end's address as the kernel side spells it.
fn address(netns: u32, socket: &TcpSocket) -> SocketAddress {
    let mut addr = [0; 16];
    match socket.local.0 {
        IpAddr::V4(v4) => addr[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => addr = v6.octets(),
    }
    SocketAddress {
        addr,
        port: socket.local.1,
        family: u16::from(socket.family),
        netns,
    }
}
