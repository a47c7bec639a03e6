//! The socket object: loaded, attached, and its maps.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::uprobe::UProbeLink;
use hark_common::counter::Counter;
use hark_common::socket::{SocketAddress, slot};
use hark_common::tls::{Library, in_file, library_of};

use super::Hook;
use super::btf::Btf;
use super::object::place::{self, SPARE};
use super::object::probe::Probe;
use super::object::{Object, ObjectError, Types, Wanted, refused};
use super::positions;
use super::telemetry::{LEFT, SPARED};
use crate::config::Capture;
use crate::http2::checkpoint::Positions;
use crate::tls::points::{Place, Point};

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_SOCKET_OBJECT"));

/// What this object attaches to, the messages first.
pub static WANTED: [Wanted; 4] = [
    Wanted {
        name: "sock_send_length",
        args: 3,
        gives: "requests sent and responses served",
        required: true,
        since: SINCE,
    },
    Wanted {
        name: "sock_recv_length",
        args: 3,
        gives: "requests served and responses read",
        required: true,
        since: SINCE,
    },
    Wanted {
        name: "inet_sock_set_state",
        args: 3,
        gives: "exchanges that the end of a TCP connection cuts off, and responses that it ends",
        required: false,
        since: "",
    },
    Wanted {
        name: "tcp_destroy_sock",
        args: 1,
        gives: "exchanges whose client goes away without reading the response",
        required: false,
        since: "",
    },
];

/// How many of [`WANTED`] tell of messages.
const MESSAGES: usize = 2;

/// Since when kernels have one or the other way to hear messages.
const SINCE: &str = "; it came with Linux 6.3, and what stands in for it needs Linux 5.17";

/// Programs for what is skipped at the first two of [`WANTED`] while a program is preempted.
static SPARES: [Wanted; MESSAGES] = [
    function(
        "spare_sock_send_length",
        3,
        "requests and responses sent while another task's is being looked at",
        false,
    ),
    function(
        "spare_sock_recv_length",
        3,
        "requests and responses received while another task's is being looked at",
        false,
    ),
];

/// Whether this kernel preempts programs at tracepoints, which it does since Linux 7.0 (commit
/// a46023d5616e). Nothing but its version tells.
fn may_preempt() -> bool {
    let name = rustix::system::uname();
    let major = name.release().to_bytes().split(|byte| *byte == b'.').next();
    let major = major.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 7)
}

/// Functions at whose end messages are heard where the tracepoints for them are missing. They are
/// called by pointer only, and so in every kernel.
static FALLBACK: [Wanted; 8] = [
    function(
        "inet_sendmsg",
        3,
        "requests and responses sent on IPv4",
        true,
    ),
    function(
        "inet_recvmsg",
        4,
        "requests and responses received on IPv4",
        true,
    ),
    function(
        "inet6_sendmsg",
        3,
        "requests and responses sent on IPv6",
        false,
    ),
    function(
        "inet6_recvmsg",
        4,
        "requests and responses received on IPv6",
        false,
    ),
    function(
        "unix_stream_sendmsg",
        3,
        "requests and responses sent on AF_UNIX",
        false,
    ),
    function(
        "unix_stream_recvmsg",
        4,
        "requests and responses received on AF_UNIX",
        false,
    ),
    function("inet_sendpage", 5, "bodies sent by sendfile on TCP", false),
    function(
        "unix_stream_sendpage",
        5,
        "bodies sent by sendfile on AF_UNIX",
        false,
    ),
];

const fn function(name: &'static str, args: u32, gives: &'static str, required: bool) -> Wanted {
    Wanted {
        name,
        args,
        gives,
        required,
        since: "",
    }
}

/// Whether this kernel lacks the tracepoints for messages, and can be heard by [`FALLBACK`].
fn falls_back(btf: &Btf) -> bool {
    let lacks = WANTED[..MESSAGES]
        .iter()
        .any(|wanted| btf.tracepoint_args(wanted.name).is_none());
    // The helper that the programs loop by came with Linux 5.17.
    let helpers = || btf.enumeration("bpf_func_id").unwrap_or_default();
    lacks && helpers().iter().any(|(name, _)| name == "BPF_FUNC_loop")
}

/// The programs that are attached to functions of TLS libraries: at their entries, and at their
/// return instructions.
const TLS_PROBES: [Probe; 2] = [
    Probe {
        program: "tls_enter",
        gives: "HTTP inside TLS",
    },
    Probe {
        program: "tls_return",
        gives: "HTTP inside TLS",
    },
];

/// The same for the TLS of Go's own library.
const GO_PROBES: [Probe; 2] = [
    Probe {
        program: "tls_go_enter",
        gives: "HTTP inside TLS of Go",
    },
    Probe {
        program: "tls_go_return",
        gives: "HTTP inside TLS of Go",
    },
];

/// The socket programs, running. They are detached when this is dropped, or its process ends.
pub struct SocketPrograms {
    /// Locked for as long as a probe is attached.
    object: Mutex<Object>,
    hooks: Vec<Hook>,
    probes: bool,
    armed: Mutex<Array<MapData, u32>>,
    files: Mutex<Array<MapData, u32>>,
    counters: PerCpuArray<MapData, u64>,
    own: HashMap<MapData, SocketAddress, u8>,
    http2: MapData,
}

impl SocketPrograms {
    /// Loads and attaches the programs, which hear nothing until [`arm`](Self::arm). `ring_bytes` is the
    /// size of the ring buffer, rounded up to a power of two of pages; `capture` says what is followed
    /// beside TCP in plain text; `own_pid` is left out of what is reported.
    ///
    /// Returns the ring buffer beside them, for the one that reads it.
    pub fn load(
        types: &Types,
        ring_bytes: u32,
        capture: &Capture,
        own_pid: u32,
    ) -> Result<(Self, RingBuf<MapData>), ObjectError> {
        let offsets = super::offsets::from_btf(&types.btf)?;
        let wake_at = u64::from(ring_bytes).next_power_of_two() / 8;
        let follow_unix = u32::from(capture.unix);
        let mut loader = types.loader("socket");
        loader
            .override_global("OFFSETS", &offsets, true)
            .override_global("OWN_PID", &own_pid, true)
            .override_global("FOLLOW_UNIX", &follow_unix, true)
            .override_global("WAKE_AT", &wake_at, true)
            // Storage of tasks, for which aya has no type: the agent does not look into it.
            .allow_unsupported_maps()
            .map_max_entries("RECORDS", ring_bytes);
        let (wanted, others, slots): (&'static [Wanted], _, _) = if falls_back(&types.btf) {
            (
                &WANTED[MESSAGES..],
                Some((place::Place::Exit, &FALLBACK[..])),
                slot::COUNT,
            )
        } else if may_preempt() {
            (
                &WANTED,
                Some((place::Place::Tracepoint, &SPARES[..])),
                slot::WITH_SPARES,
            )
        } else {
            (&WANTED, None, slot::TRACEPOINTS)
        };
        let spares = u32::from(slots == slot::WITH_SPARES);
        loader.override_global("SPARES", &spares, true);
        for map in ["SCRATCH", "HTTP2_SCRATCH", "TLS_RECORD"] {
            loader.map_max_entries(map, slots);
        }
        let places: Vec<_> = [(place::Place::Tracepoint, wanted)]
            .into_iter()
            .chain(others)
            .collect();
        let mut object = Object::load_at("socket", OBJECT, &places, types, &mut loader)?;
        let probes = capture.tls && object.load_probes(&TLS_PROBES);
        if probes {
            // Without them Go's library is one that is not read.
            object.load_probes(&GO_PROBES);
        }
        let records = object.map("RECORDS")?;
        Ok((
            Self {
                armed: Mutex::new(object.map("ARMED")?),
                files: Mutex::new(object.map("TLS_FILES")?),
                counters: object.map("COUNTERS")?,
                own: object.map("OWN_ENDPOINTS")?,
                http2: object.storage("HTTP2")?,
                hooks: object.hooks.clone(),
                probes,
                object: Mutex::new(object),
            },
            records,
        ))
    }

    /// Begins to hear: from one instant on, whichever program was attached first. To be called when the
    /// ring buffer is about to be read.
    ///
    /// # Errors
    ///
    /// The kernel refuses the write.
    pub fn arm(&self) -> Result<(), ObjectError> {
        write(&self.armed, 0, 1)
    }

    /// What is attached.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// Whether probes can be attached to TLS libraries.
    #[must_use]
    pub const fn can_probe(&self) -> bool {
        self.probes
    }

    /// Attaches a probe to a TLS library, in the file of this number. It is detached when the link is
    /// dropped.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or the file is gone.
    pub fn probe(&self, point: &Point, path: &Path, file: u32) -> Result<UProbeLink, ObjectError> {
        let [entry, exit] = if library_of(point.cookie) == Library::Go as u8 {
            &GO_PROBES
        } else {
            &TLS_PROBES
        };
        let probe = match point.place {
            Place::Entry => entry,
            Place::Return => exit,
        };
        self.object().attach_probe(
            probe.program,
            path,
            point.offset,
            in_file(point.cookie, file),
        )
    }

    /// Says whether all probes of a file are attached: before, calls that move data are passed over.
    ///
    /// # Errors
    ///
    /// The kernel refuses the write.
    pub fn set_whole(&self, file: u32, whole: bool) -> Result<(), ObjectError> {
        write(&self.files, file, u32::from(whole))
    }

    fn object(&self) -> MutexGuard<'_, Object> {
        self.object.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Value of a counter on each CPU.
    #[must_use]
    pub fn counter_per_cpu(&self, counter: Counter) -> Vec<u64> {
        self.counters
            .get(&(counter as u32), 0)
            .map_or_else(|_| Vec::new(), |per_cpu| per_cpu.to_vec())
    }

    /// Value of a counter over all CPUs.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters
            .get(&(counter as u32), 0)
            .map_or(0, |per_cpu| per_cpu.iter().sum())
    }

    /// Events that the kernel did not hand to a program, because the program was running already
    /// on that CPU, or that it left, and that its spare did not take: `(program, count)`.
    #[must_use]
    pub fn recursion_misses(&self) -> Vec<(&'static str, u64)> {
        let count = |name, counters: &[(&str, Counter)]| {
            let of = |(hook, counter): &(_, _)| (*hook == name).then(|| self.counter(*counter));
            counters.iter().find_map(of).unwrap_or(0)
        };
        // What a spare itself is not handed it would mostly have left alone.
        self.figures()
            .into_iter()
            .filter(|(name, _)| !name.starts_with(SPARE))
            .map(|(name, f)| {
                let missed = f.recursion_misses + count(name, &LEFT);
                (name, missed.saturating_sub(count(name, &SPARED)))
            })
            .collect()
    }

    /// The kernel's figures of each program.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, super::info::ProgramFigures)> {
        self.object().figures()
    }

    /// Where the kernel side stands in the HTTP/2 connections of these processes' network
    /// namespaces; see `positions`.
    #[must_use]
    pub fn http2_positions(
        &self,
        proc_root: &Path,
        pids: impl Iterator<Item = u32>,
        deadline: Instant,
    ) -> Positions {
        positions::of(self.http2.fd().as_fd(), proc_root, pids, deadline)
    }

    /// Leaves out every connection to this endpoint of the agent's own, in the agent's network
    /// namespace.
    pub fn leave_out(&mut self, address: IpAddr, port: u16, netns: u32) -> Result<(), ObjectError> {
        // A client of an IPv4 listener may be an IPv6 socket that uses the mapped address.
        let forms: Vec<(u16, [u8; 16])> = match address {
            IpAddr::V4(v4) => {
                let mut plain = [0; 16];
                plain[..4].copy_from_slice(&v4.octets());
                vec![
                    (libc::AF_INET as u16, plain),
                    (libc::AF_INET6 as u16, v4.to_ipv6_mapped().octets()),
                ]
            }
            IpAddr::V6(v6) => vec![(libc::AF_INET6 as u16, v6.octets())],
        };
        for (family, addr) in forms {
            self.own
                .insert(
                    SocketAddress {
                        addr,
                        port,
                        family,
                        netns,
                    },
                    1,
                    0,
                )
                .map_err(|e| refused("socket", "writing a map", &e))?;
        }
        Ok(())
    }
}

fn write(map: &Mutex<Array<MapData, u32>>, index: u32, value: u32) -> Result<(), ObjectError> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.set(index, value, 0)
        .map_err(|e| refused("socket", "writing a map", &e))
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    use super::{GO_PROBES, OBJECT, TLS_PROBES};

    /// `BPF_JMP | BPF_CALL` of helper 12, `bpf_tail_call` (include/uapi/linux/bpf.h).
    const TAIL_CALL: [u8; 8] = [0x85, 0, 0, 0, 12, 0, 0, 0];

    /// A program of a probe without one is given a stack that other threads' runs of it share, from Linux
    /// 6.13 on, and a kernel that preempts it there has crashed.
    #[test]
    fn programs_of_probes_stay_on_the_thread_s_stack() {
        if OBJECT.is_empty() {
            println!("SKIPPED: built without the kernel's programs");
            return;
        }
        let file = object::File::parse(OBJECT).unwrap();
        let section = file.section_by_name("uprobe").unwrap();
        let code = section.data().unwrap();
        let programs: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.size() != 0)
            .collect();
        assert_eq!(programs.len(), TLS_PROBES.len() + GO_PROBES.len());
        for program in programs {
            let start = program.address() as usize;
            let code = &code[start..start + program.size() as usize];
            assert!(
                code.chunks(8).any(|instruction| instruction == TAIL_CALL),
                "{}",
                program.name().unwrap()
            );
        }
    }
}
