//! What the agent may do, and what it gives up once it needs it no more (capabilities(7)).
//!
//! Rights belong to threads. The agent reduces those of its first thread before it starts others, so a
//! thread has what it needs and no more: the ones that talk to the network the least.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

use crate::config::{Config, LogOutput};

/// A capability that the agent needs, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// The kernel's name for it.
    pub name: &'static str,
    /// Which it is.
    pub set: CapabilitySet,
    /// What the user loses without it.
    pub lost: &'static str,
    /// Without it there is nothing to see.
    pub required: bool,
    /// It is needed only until the kernel programs are loaded.
    pub at_start: bool,
}

/// All that are needed for everything.
pub const NEEDED: [Capability; 6] = [
    Capability {
        name: "CAP_BPF",
        set: CapabilitySet::BPF,
        lost: "everything: the kernel programs cannot be loaded",
        required: true,
        at_start: false,
    },
    Capability {
        name: "CAP_PERFMON",
        set: CapabilitySet::PERFMON,
        lost: "everything: the kernel programs may not read memory",
        required: true,
        // Probes are attached to TLS libraries as they are met.
        at_start: false,
    },
    Capability {
        name: "CAP_NET_ADMIN",
        set: CapabilitySet::NET_ADMIN,
        lost: "how long TCP connections wait to be accepted",
        required: false,
        at_start: true,
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        set: CapabilitySet::SYS_ADMIN,
        lost: "accept queues and open connections of other network namespaces; TLS libraries that \
               are not in the host's own folders",
        required: false,
        at_start: false,
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        set: CapabilitySet::SYS_PTRACE,
        lost: "names of services that are set in the environment of other users' processes",
        required: false,
        at_start: false,
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        set: CapabilitySet::DAC_READ_SEARCH,
        lost: "names of containers, which are read from their runtime's files",
        required: false,
        at_start: false,
    },
];

/// For the first thread until the kernel programs are loaded.
#[must_use]
pub fn at_start(config: &Config) -> CapabilitySet {
    let mut kept: CapabilitySet = NEEDED.iter().map(|capability| capability.set).collect();
    if config.listen.port() < 1024 {
        kept |= CapabilitySet::NET_BIND_SERVICE;
    }
    if config.request_log.output == LogOutput::File {
        kept |= request_log();
    }
    kept
}

/// For the first thread from then on, and for those that collect.
#[must_use]
pub fn afterwards() -> CapabilitySet {
    let needed = NEEDED.iter().filter(|capability| !capability.at_start);
    needed.map(|capability| capability.set).collect()
}

/// For the threads that serve `/metrics` and send spans: kernels before 5.19 let nobody read a map
/// without it where `kernel.unprivileged_bpf_disabled` is set.
#[must_use]
pub const fn io() -> CapabilitySet {
    CapabilitySet::BPF
}

/// For the thread that writes the request log, whose folder may be another user's.
#[must_use]
pub const fn request_log() -> CapabilitySet {
    CapabilitySet::DAC_OVERRIDE
}

/// Gives up all that is not in `kept`, for this thread and those that it starts from now on, and any
/// way to get more. What it does not have it does not get. It is no failure if the kernel forbids even
/// that; the log says so.
pub fn keep(kept: CapabilitySet) {
    if let Err(error) = try_keep(kept) {
        tracing::warn!(%error, "rights that are not needed cannot be given up");
    }
}

fn try_keep(kept: CapabilitySet) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.permitted &= kept;
    sets.effective &= kept;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_needs_is_kept_until_it_was_used() {
        let mut config = Config::default();
        let start = at_start(&config);
        assert!(start.contains(CapabilitySet::NET_ADMIN | afterwards()));
        assert!(!start.contains(CapabilitySet::DAC_OVERRIDE));
        assert!(!start.contains(CapabilitySet::NET_BIND_SERVICE));
        config.listen.set_port(80);
        config.request_log.output = LogOutput::File;
        let start = at_start(&config);
        assert!(start.contains(CapabilitySet::DAC_OVERRIDE | CapabilitySet::NET_BIND_SERVICE));
        assert!(!afterwards().intersects(CapabilitySet::NET_ADMIN | CapabilitySet::DAC_OVERRIDE));
    }

    #[test]
    fn a_thread_gives_up_all_but_what_it_keeps() {
        let of_this_thread = || {
            let sets = capabilities(None).unwrap();
            [sets.permitted, sets.effective, sets.inheritable]
        };
        let before = of_this_thread();
        let after = std::thread::spawn(move || {
            keep(CapabilitySet::BPF);
            // What it starts has no more.
            std::thread::spawn(of_this_thread).join().unwrap()
        });
        let bpf = |set: CapabilitySet| set & CapabilitySet::BPF;
        let want = [bpf(before[0]), bpf(before[1]), CapabilitySet::empty()];
        assert_eq!(after.join().unwrap(), want);
        assert_eq!(of_this_thread(), before, "other threads keep theirs");
    }
}
