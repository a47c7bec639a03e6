//! The socket object: loaded, attached, and its maps.

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use aya::maps::{HashMap, Map, MapData, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Pod};
use hark_common::counter::Counter;
use hark_common::offsets::Offsets;
use hark_common::socket::SocketAddress;
use thiserror::Error;

use super::Hook;
use super::btf::{Btf, BtfError};
use super::info::figures;

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_SOCKET_OBJECT"));

/// Why the socket programs do not run. All of these stop the agent: without sockets it is blind.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Built without the kernel toolchain.
    #[error("this hark was built without its kernel programs; build it with `cargo xtask build`")]
    NoObject,
    /// No type information, or a field is missing.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// This kernel lacks the tracepoints.
    #[error(
        "this kernel has no tracepoint `{0}`, which hark needs to see requests; it came with Linux 6.3"
    )]
    NoTracepoint(&'static str),
    /// The kernel took neither the maps nor the programs.
    #[error("the kernel refused hark's socket programs ({what}): {detail}{hint}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The kernel's words, shortened.
        detail: String,
        /// What to do about it, if that is known.
        hint: &'static str,
    },
}

/// A tracepoint and the program for it, of the same name.
pub struct Wanted {
    /// The kernel's name for it.
    pub name: &'static str,
    /// Arguments that the program reads, without the first, which is the tracepoint's own.
    args: u32,
    /// What the user loses without it.
    pub gives: &'static str,
    /// Without it there is nothing to see.
    pub required: bool,
}

/// What this object attaches to.
pub const WANTED: [Wanted; 4] = [
    Wanted {
        name: "sock_send_length",
        args: 3,
        gives: "requests sent and responses served",
        required: true,
    },
    Wanted {
        name: "sock_recv_length",
        args: 3,
        gives: "requests served and responses read",
        required: true,
    },
    Wanted {
        name: "inet_sock_set_state",
        args: 3,
        gives: "exchanges that the end of a TCP connection cuts off, and responses that it ends",
        required: false,
    },
    Wanted {
        name: "tcp_destroy_sock",
        args: 1,
        gives: "exchanges whose client goes away without reading the response",
        required: false,
    },
];

/// A program that is not attached: that of a tracepoint goes on in it when a socket is HTTP/2.
struct Jump {
    /// Its name.
    program: &'static str,
    /// The tracepoint.
    from: &'static str,
    /// The map that the jump looks it up in.
    map: &'static str,
    /// What the user loses without it.
    gives: &'static str,
}

const JUMPS: [Jump; 2] = [
    Jump {
        program: "http2_send",
        from: "sock_send_length",
        map: "HTTP2_SEND",
        gives: "HTTP/2 and gRPC: requests sent and responses served",
    },
    Jump {
        program: "http2_recv",
        from: "sock_recv_length",
        map: "HTTP2_RECV",
        gives: "HTTP/2 and gRPC: requests served and responses read",
    },
];

impl Jump {
    /// Loads the program and puts it where the jump finds it. What is given back must be kept: the
    /// kernel empties a map of programs that nobody holds open.
    fn lay(
        &self,
        ebpf: &mut Ebpf,
        kernel_btf: &AyaBtf,
    ) -> Result<ProgramArray<MapData>, SocketError> {
        let mut map = ProgramArray::try_from(take(ebpf, self.map)?)
            .map_err(|e| refused("opening a map", &e))?;
        let program = program(ebpf, self.program)?;
        program
            .load(self.from, kernel_btf)
            .map_err(|e| refused("loading a program", &e))?;
        let fd = program.fd().map_err(|e| refused("finding a program", &e))?;
        map.set(0, fd, 0)
            .map_err(|e| refused("writing a map", &e))?;
        Ok(map)
    }
}

impl Wanted {
    /// Why this kernel cannot have it, in words.
    fn missing(&self, btf: &Btf) -> Option<String> {
        match btf.tracepoint_args(self.name) {
            None => Some("this kernel has no such tracepoint".into()),
            Some(n) if n < self.args => Some(format!(
                "this kernel's tracepoint has {n} arguments, {} are needed",
                self.args
            )),
            Some(_) => None,
        }
    }
}

/// The socket programs, running. They are detached when this is dropped, or its process ends.
pub struct SocketPrograms {
    ebpf: Ebpf,
    counters: PerCpuArray<MapData, u64>,
    own: HashMap<MapData, Key, u8>,
    /// Only held: see [`Jump::lay`].
    _jumps: Vec<ProgramArray<MapData>>,
    /// What is attached.
    pub hooks: Vec<Hook>,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Key(SocketAddress);
// SAFETY: `repr(C)` integers without padding; any bytes are a value.
unsafe impl Pod for Key {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Layout(Offsets);
// SAFETY: as above.
unsafe impl Pod for Layout {}

impl SocketPrograms {
    /// Loads and attaches the programs. `ring_bytes` is the size of the ring buffer, rounded up to
    /// a power of two of pages; `unix` says whether `AF_UNIX` streams are followed beside TCP;
    /// `own_pid` is left out of what is reported.
    ///
    /// Returns the ring buffer beside them, for the one that reads it.
    pub fn load(
        ring_bytes: u32,
        unix: bool,
        own_pid: u32,
    ) -> Result<(Self, RingBuf<MapData>), SocketError> {
        if OBJECT.is_empty() {
            return Err(SocketError::NoObject);
        }
        let btf = Btf::of_running_kernel()?;
        let mut hooks: Vec<Hook> = WANTED
            .iter()
            .map(|wanted| Hook {
                name: wanted.name,
                kind: "tp_btf",
                gives: wanted.gives,
                failure: wanted.missing(&btf),
            })
            .collect();
        for (wanted, hook) in WANTED.iter().zip(&hooks) {
            if wanted.required && hook.failure.is_some() {
                return Err(SocketError::NoTracepoint(wanted.name));
            }
        }
        let offsets = Layout(super::offsets::from_btf(&btf)?);
        drop(btf);
        let wake_at = u64::from(ring_bytes).next_power_of_two() / 8;
        let kernel_btf = AyaBtf::from_sys_fs().map_err(|e| refused("reading BTF", &e))?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&kernel_btf))
            .override_global("OFFSETS", &offsets, true)
            .override_global("OWN_PID", &own_pid, true)
            .override_global("FOLLOW_UNIX", &u32::from(unix), true)
            .override_global("WAKE_AT", &wake_at, true)
            .map_max_entries("RECORDS", ring_bytes)
            .load(OBJECT)
            .map_err(|e| refused("creating maps", &e))?;
        // All are loaded before any is attached: no half of a conversation is seen.
        let mut jumps = Vec::new();
        for jump in &JUMPS {
            let laid = jump.lay(&mut ebpf, &kernel_btf);
            let failure = laid.map(|map| jumps.push(map)).err();
            if let Some(error) = &failure {
                tracing::warn!(program = jump.program, %error, lost = jump.gives, "not loaded");
            }
            hooks.push(Hook {
                name: jump.program,
                kind: "tail_call",
                gives: jump.gives,
                failure: failure.map(|error| error.to_string()),
            });
        }
        for attach in [false, true] {
            for (wanted, hook) in WANTED.iter().zip(&mut hooks) {
                if hook.failure.is_some() {
                    continue;
                }
                let done = program(&mut ebpf, wanted.name).and_then(|program| {
                    if attach {
                        let attached = program.attach();
                        attached
                            .map(drop)
                            .map_err(|e| refused("attaching a program", &e))
                    } else {
                        let loaded = program.load(wanted.name, &kernel_btf);
                        loaded.map_err(|e| refused("loading a program", &e))
                    }
                });
                match done {
                    Ok(()) => {}
                    Err(error) if wanted.required => return Err(error),
                    Err(error) => {
                        tracing::warn!(hook = wanted.name, %error, lost = wanted.gives, "not attached");
                        hook.failure = Some(error.to_string());
                    }
                }
            }
        }
        let records = take(&mut ebpf, "RECORDS")?;
        let records = RingBuf::try_from(records).map_err(|e| refused("opening a map", &e))?;
        let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?)
            .map_err(|e| refused("opening a map", &e))?;
        let own = HashMap::try_from(take(&mut ebpf, "OWN_ENDPOINTS")?)
            .map_err(|e| refused("opening a map", &e))?;
        Ok((
            Self {
                ebpf,
                counters,
                own,
                _jumps: jumps,
                hooks,
            },
            records,
        ))
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
    /// on that CPU: `(program, count)`.
    #[must_use]
    pub fn recursion_misses(&self) -> Vec<(&'static str, u64)> {
        self.figures()
            .into_iter()
            .map(|(name, f)| (name, f.recursion_misses))
            .collect()
    }

    /// The kernel's figures of each program.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, super::info::ProgramFigures)> {
        WANTED
            .iter()
            .filter_map(|wanted| {
                let program: &BtfTracePoint = self.ebpf.program(wanted.name)?.try_into().ok()?;
                let fd = program.fd().ok()?;
                Some((wanted.name, figures(fd.as_fd()).ok()?))
            })
            .collect()
    }

    /// Leaves out every connection to this endpoint of the agent's own, in the agent's network
    /// namespace.
    pub fn leave_out(&mut self, address: IpAddr, port: u16, netns: u32) -> Result<(), SocketError> {
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
                    Key(SocketAddress {
                        addr,
                        port,
                        family,
                        netns,
                    }),
                    1,
                    0,
                )
                .map_err(|e| refused("writing a map", &e))?;
        }
        Ok(())
    }
}

fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut BtfTracePoint, SocketError> {
    ebpf.program_mut(name)
        .ok_or_else(|| missing("finding a program", name))?
        .try_into()
        .map_err(|e| refused("finding a program", &e))
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, SocketError> {
    ebpf.take_map(name)
        .ok_or_else(|| missing("finding a map", name))
}

fn missing(what: &'static str, name: &str) -> SocketError {
    SocketError::Refused {
        what,
        detail: format!("the object has no `{name}`"),
        hint: "; build hark anew with `cargo xtask build`",
    }
}

fn refused(what: &'static str, error: &dyn std::error::Error) -> SocketError {
    // The system's word is at the end of the chain.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Some say what their source says as well.
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        source = inner.source();
    }
    let hint = if text.contains("Operation not permitted") || text.contains("os error 1)") {
        "; hark needs root, or the capabilities CAP_BPF and CAP_PERFMON"
    } else if text.contains("Cannot allocate memory") || text.contains("os error 12)") {
        "; make `ring_buffer_bytes` smaller, or the memory limit larger"
    } else {
        ""
    };
    // The verifier says what is wrong at the end of a long log.
    let detail = text
        .char_indices()
        .rev()
        .nth(1500)
        .map_or(text.as_str(), |(at, _)| &text[at..])
        .to_owned();
    SocketError::Refused { what, detail, hint }
}
