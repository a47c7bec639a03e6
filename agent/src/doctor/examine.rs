//! Looks at the host: what the agent would find if it were started now.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::instrumented::instrumented;
use super::{Finding, Report, State};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::config::{Config, LogOutput};
use crate::identity::Identities;
use crate::kernel::btf::Btf;
use crate::kernel::object::Types;
use crate::kernel::room::Room;
use crate::kernel::sock_diag;
use crate::kernel::socket::{SocketPrograms, WANTED};
use crate::lock::{Lock, LockError, run_dir};
use crate::otlp::OtlpConfig;
use crate::resources::Resources;
use crate::resources::cgroups::{Hierarchy, Mount, Mounts};
use crate::resources::memory::own_limit;
use crate::rights;
use crate::tls::watch::survey;

/// How long the kernel may take to list the sockets of one namespace.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that can be known without a request. Attaches the kernel programs for a moment.
#[must_use]
pub fn examine(config: &Config) -> Report {
    let mut findings = vec![kernel()];
    findings.extend(capabilities());
    let room = Room::within(own_limit(&config.proc_root));
    findings.push(memory(room));
    findings.extend(hooks(config, room));
    findings.extend(tls(config));
    findings.push(proc_root(&config.proc_root));
    findings.push(tcp_sockets());
    findings.extend(cgroups(&config.proc_root));
    findings.extend(endpoints(config));
    findings.extend(instrumented(config));
    Report { findings }
}

fn kernel() -> Finding {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    match Btf::of_running_kernel().and_then(|btf| crate::kernel::offsets::from_btf(&btf)) {
        Ok(_) => Finding::works(
            "kernel",
            "type information",
            format!("Linux {release}; all fields that hark reads are there"),
        ),
        Err(error) => Finding::broken(
            "kernel",
            "type information",
            State::Fails,
            error.to_string(),
            "everything",
        ),
    }
}

fn capabilities() -> Vec<Finding> {
    const GROUP: &str = "capabilities";
    let Ok(CapabilitySets { effective, .. }) = rustix::thread::capabilities(None) else {
        return vec![Finding::broken(
            GROUP,
            "effective",
            State::Degraded,
            "the kernel does not say which are held",
            "nothing but this answer",
        )];
    };
    // What came with CAP_BPF and CAP_PERFMON in Linux 5.8 was CAP_SYS_ADMIN's before, and still is.
    let admin = effective.contains(CapabilitySet::SYS_ADMIN);
    rights::NEEDED
        .iter()
        .map(|capability| {
            let held = effective.contains(capability.set);
            if held || admin && capability.required {
                let how = if held {
                    "held"
                } else {
                    "held by CAP_SYS_ADMIN"
                };
                return Finding::works(GROUP, capability.name, how);
            }
            let state = if capability.required {
                State::Fails
            } else {
                State::Degraded
            };
            Finding::broken(GROUP, capability.name, state, "not held", capability.lost)
                .remedy("run as root, or grant it")
        })
        .collect()
}

/// Whether the kernel's tables are as large as they can be.
fn memory(room: Room) -> Finding {
    const GROUP: &str = "memory";
    const SUBJECT: &str = "the kernel's tables";
    let connections = room.connections();
    if room.is_short() {
        Finding::broken(
            GROUP,
            SUBJECT,
            State::Degraded,
            format!("room for {connections} TCP connections, by the limit of hark's cgroup"),
            "what has no room in them, which is counted",
        )
        .remedy("allow hark 256 MiB on hosts with more connections than that")
    } else {
        Finding::works(
            GROUP,
            SUBJECT,
            format!("room for {connections} TCP connections"),
        )
    }
}

fn hooks(config: &Config, room: Room) -> Vec<Finding> {
    const GROUP: &str = "hooks";
    let types = Types::of_running_kernel(room);
    let loaded = types
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|types| {
            let socket = SocketPrograms::load(
                types,
                config.ring_buffer_bytes,
                &config.capture,
                std::process::id(),
            );
            socket
                .map(|(programs, _)| (types, programs))
                .map_err(|error| error.to_string())
        });
    match loaded {
        Ok((types, programs)) => {
            let identities = Identities::new(config.proc_root.clone(), config.limits.max_processes);
            let resources = Resources::build(config, types, Arc::new(Mutex::new(identities)));
            programs
                .hooks()
                .iter()
                .chain(resources.hooks())
                .map(|hook| match &hook.failure {
                    None => {
                        Finding::works(GROUP, hook.name, format!("{}: {}", hook.kind, hook.gives))
                    }
                    Some(why) => {
                        Finding::broken(GROUP, hook.name, State::Degraded, why.clone(), hook.gives)
                    }
                })
                .collect()
        }
        // One reason for all of them: none is attached without the others.
        Err(error) => WANTED
            .iter()
            .map(|wanted| {
                Finding::broken(
                    GROUP,
                    wanted.name,
                    State::Fails,
                    error.clone(),
                    wanted.gives,
                )
            })
            .collect(),
    }
}

/// What encrypts on this host, and whether it can be read.
fn tls(config: &Config) -> Vec<Finding> {
    const GROUP: &str = "tls";
    if !config.capture.tls {
        return vec![Finding::works(
            GROUP,
            "libraries",
            "not read: `capture.tls` is false",
        )];
    }
    survey(&config.proc_root)
        .into_iter()
        .map(|found| {
            let users = format!("in use by {} processes", found.processes);
            match found.probes {
                Ok(probes) => {
                    let detail = format!("{}, {probes} probes; {users}", found.library);
                    Finding::works(GROUP, found.name, detail)
                }
                Err(why) => Finding::broken(
                    GROUP,
                    found.name,
                    State::Degraded,
                    format!("{}: {why}; {users}", found.library),
                    "requests inside TLS of these processes; the connections are counted",
                ),
            }
        })
        .collect()
}

fn proc_root(root: &Path) -> Finding {
    const NAME: &str = "processes";
    match fs::metadata(root.join("1/stat")) {
        Ok(_) => Finding::works("host", NAME, format!("{} shows them", root.display())),
        Err(error) => Finding::broken(
            "host",
            NAME,
            State::Degraded,
            format!("{}: {error}", root.display()),
            "names of services; they are called by their command",
        )
        .remedy("run in the host's pid namespace, or set `proc_root` to the host's procfs"),
    }
}

fn tcp_sockets() -> Finding {
    const NAME: &str = "TCP sockets";
    match sock_diag::probe(Instant::now() + PATIENCE) {
        Ok(()) => Finding::works("host", NAME, "the kernel lists them (sock_diag)"),
        Err(error) => Finding::broken(
            "host",
            NAME,
            State::Degraded,
            error.to_string(),
            "accept queues; bytes and round-trip times of connections while they are open; \
             connections that are older than the agent",
        )
        .remedy("load the kernel module tcp_diag: `modprobe tcp_diag`"),
    }
}

fn cgroups(proc_root: &Path) -> Vec<Finding> {
    const GROUP: &str = "host";
    const LOST: &str = "limits, throttling and pressure of services; names of containers and units \
                        where a process's own /proc entry does not tell them";
    let mounts = Mounts::find(proc_root);
    let seen: Vec<String> = Hierarchy::ALL
        .into_iter()
        .filter_map(|hierarchy| Some((hierarchy, mounts.get(hierarchy)?)))
        .map(|(hierarchy, mount)| {
            let point = mount.point().display();
            match hierarchy.controller() {
                None => format!("version 2 on {point} ({})", controllers(mount)),
                Some(controller) => format!("version 1, {controller}, on {point}"),
            }
        })
        .collect();
    let cgroups = if seen.is_empty() {
        Finding::broken(
            GROUP,
            "cgroups",
            State::Degraded,
            "no hierarchy is mounted",
            LOST,
        )
        .remedy("mount the host's /sys/fs/cgroup, and run in the host's cgroup namespace")
    } else if Hierarchy::ALL
        .into_iter()
        .filter_map(|hierarchy| mounts.get(hierarchy))
        .any(|mount| !mount.is_whole())
    {
        Finding::broken(
            GROUP,
            "cgroups",
            State::Degraded,
            format!("only a part can be seen: {}", seen.join("; ")),
            LOST,
        )
        .remedy("run in the host's cgroup namespace, with the host's /sys/fs/cgroup")
    } else {
        Finding::works(GROUP, "cgroups", seen.join("; "))
    };
    vec![cgroups, pressure(proc_root)]
}

/// The controllers that the unified hierarchy has.
fn controllers(mount: &Mount) -> String {
    let mut content = String::new();
    mount.read("/", "cgroup.controllers", &mut content);
    if content.trim().is_empty() {
        return "no controllers".into();
    }
    content.trim().replace(' ', ", ")
}

fn pressure(proc_root: &Path) -> Finding {
    match fs::read_to_string(proc_root.join("pressure/memory")) {
        Ok(_) => Finding::works("host", "pressure", "the kernel keeps account of it (PSI)"),
        Err(error) => Finding::broken(
            "host",
            "pressure",
            State::Degraded,
            format!("{}: {error}", proc_root.join("pressure").display()),
            "how long tasks stood still for want of CPU, memory and disk, by the kernel's account",
        )
        .remedy("start the kernel with psi=1, if it was built with CONFIG_PSI"),
    }
}

fn endpoints(config: &Config) -> Vec<Finding> {
    const GROUP: &str = "agent";
    let mut findings = Vec::new();
    let running = match Lock::take(&run_dir()) {
        Ok(_) => false,
        Err(error @ LockError::Taken { .. }) => {
            findings.push(Finding::works(GROUP, "lock", error.to_string()));
            true
        }
        Err(error) => {
            findings.push(Finding::broken(
                GROUP,
                "lock",
                State::Fails,
                error.to_string(),
                "everything: the agent does not start without it",
            ));
            false
        }
    };
    findings.push(match TcpListener::bind(config.listen) {
        Ok(_) => Finding::works(GROUP, "listen", format!("{} is free", config.listen)),
        Err(error) if running && error.kind() == io::ErrorKind::AddrInUse => Finding::works(
            GROUP,
            "listen",
            format!("{} is taken, as it should be", config.listen),
        ),
        Err(error) => Finding::broken(
            GROUP,
            "listen",
            State::Fails,
            format!("{}: {error}", config.listen),
            "the metrics; the agent does not start",
        )
        .remedy("set `listen` (HARK_LISTEN) to an address that is free"),
    });
    findings.push(
        match OtlpConfig::from_env(|name| std::env::var(name).ok()) {
            Ok(Some(otlp)) => Finding::works(GROUP, "spans", format!("sent to {}", otlp.endpoint)),
            Ok(None) => Finding::works(
                GROUP,
                "spans",
                "off: OTEL_EXPORTER_OTLP_ENDPOINT is not set in this environment",
            ),
            Err(error) => Finding::broken(
                GROUP,
                "spans",
                State::Fails,
                error.to_string(),
                "all spans; the agent does not start",
            ),
        },
    );
    findings.push(request_log(config));
    findings
}

fn request_log(config: &Config) -> Finding {
    const GROUP: &str = "agent";
    const NAME: &str = "request log";
    let log = &config.request_log;
    let mut places = Vec::new();
    match log.output {
        LogOutput::None => {}
        LogOutput::Stdout => places.push("standard output".to_owned()),
        LogOutput::File => places.push(log.path.display().to_string()),
    }
    if log.otlp {
        match OtlpConfig::logs_from_env(|name| std::env::var(name).ok()) {
            Ok(Some(otlp)) => places.push(otlp.endpoint.to_string()),
            Ok(None) => {
                return Finding::broken(
                    GROUP,
                    NAME,
                    State::Fails,
                    "request_log.otlp is set, but no endpoint",
                    "the request log; the agent does not start",
                )
                .remedy("set OTEL_EXPORTER_OTLP_ENDPOINT");
            }
            Err(error) => {
                return Finding::broken(
                    GROUP,
                    NAME,
                    State::Fails,
                    error.to_string(),
                    "the request log; the agent does not start",
                );
            }
        }
    }
    match places.is_empty() {
        true => Finding::works(GROUP, NAME, "off: request_log.output is none"),
        false => Finding::works(GROUP, NAME, format!("to {}", places.join(" and "))),
    }
}
