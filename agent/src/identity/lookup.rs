//! Looks at a process and says which service it is.

use std::path::PathBuf;
use std::sync::Arc;

use hark_common::socket::{ARGS_LIMIT, ENVIRON_LIMIT, ProcessKey, Task};
use indexmap::IndexMap;
use uuid::Uuid;

use super::cgroup::{self, Membership};
use super::container::{Container, Containers};
use super::environ;
use super::metrics::{Metrics, Outcome};
use super::process::{Absence, Extent, Process};
use super::program::{self, Clues, Program};
use super::{NameSource, Remains, Service, text};

/// Longest part of `/proc/PID/environ` that is read, in bytes.
const MAX_ENVIRON: usize = 256 << 10;
/// Longest part of `/proc/PID/cmdline` that is read, in bytes: a Java class path can be long.
const MAX_CMDLINE: usize = 256 << 10;
/// Longest part of `/proc/PID/cgroup` that is read, in bytes.
const MAX_CGROUP: usize = 64 << 10;
/// Most cgroups whose meaning is remembered for processes that are gone; the oldest go first.
const MAX_CGROUPS: usize = 1024;
/// How many parents are asked for the name of a helper.
const MAX_ANCESTORS: usize = 3;

/// Namespace of the UUIDs in `service.instance.id`
/// (OpenTelemetry semantic conventions, docs/resource/service.md).
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63009a_8d0f_11ee_aad7_4c796ed8e320);

/// Resource attributes that hark knows itself, or that say which SDK reports: not taken over.
const OWN_ATTRIBUTES: &[&str] = &[
    "process.pid",
    "process.executable.name",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
];

/// A looked-up process.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) service: Service,
    /// It was still there.
    pub(super) alive: bool,
    /// It was in the middle of exec, and will have another name in a moment.
    pub(super) unsettled: bool,
}

/// Looks processes up; keeps what they have in common.
#[derive(Debug)]
pub(super) struct Lookup {
    proc_root: PathBuf,
    /// Names this boot of this host; part of every instance id.
    boot_id: String,
    /// Which file of `/proc/PID` names the cgroup. Tests that look at real processes read none:
    /// the cgroup that they run in is not theirs to know.
    pub(super) cgroup_file: &'static str,
    containers: Containers,
    /// By id on the unified hierarchy. Ids are not used again.
    cgroups: IndexMap<u64, Membership>,
    buffer: Vec<u8>,
}

/// What the files of one process said.
#[derive(Default)]
struct Seen {
    exe: Option<Vec<u8>>,
    cwd: Option<Vec<u8>>,
    cmdline: Vec<u8>,
    cmdline_cut: bool,
    variables: Declared,
    membership: Membership,
    parent: u32,
}

/// What the environment declared.
#[derive(Default)]
struct Declared {
    name: Option<String>,
    attributes: Vec<(String, String)>,
}

impl Lookup {
    pub(super) fn new(proc_root: PathBuf) -> Self {
        let boot_id = std::fs::read_to_string(proc_root.join("sys/kernel/random/boot_id"))
            .map(|id| id.trim().to_owned())
            .unwrap_or_default();
        Self {
            containers: Containers::new(&proc_root),
            proc_root,
            boot_id,
            cgroup_file: "cgroup",
            cgroups: IndexMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Whether the process is still there and not merely waiting to be reaped. One that cannot be
    /// looked at counts as alive.
    pub(super) fn is_alive(&self, key: &ProcessKey) -> bool {
        match Process::open(&self.proc_root, key) {
            Ok(process) => !process.zombie,
            Err(Absence::Denied) => true,
            Err(Absence::Gone) => false,
        }
    }

    /// Looks at a process now. `remains` is what the kernel side saw of it; empty if it did not.
    pub(super) fn find(&mut self, task: &Task, remains: Remains<'_>, metrics: &Metrics) -> Found {
        let (seen, outcome, alive) = match Process::open(&self.proc_root, &task.process) {
            Ok(process) => {
                let alive = !process.zombie;
                let (seen, outcome) = self.look(&process, task, remains, metrics);
                (seen, outcome, alive)
            }
            Err(Absence::Gone) => (self.unseen(task, remains, metrics), Outcome::Gone, false),
            Err(Absence::Denied) => (self.unseen(task, remains, metrics), Outcome::Denied, true),
        };
        metrics.lookup(outcome);
        let service = self.service(task, seen);
        Found {
            service,
            alive,
            unsettled: outcome == Outcome::Unsettled,
        }
    }

    /// All that is left of a process that cannot be looked at.
    fn unseen(&self, task: &Task, remains: Remains<'_>, metrics: &Metrics) -> Seen {
        let extent = if remains.environ.len() >= ENVIRON_LIMIT {
            Extent::Cut
        } else {
            Extent::Whole
        };
        Seen {
            cmdline: remains.args.to_vec(),
            cmdline_cut: remains.args.len() >= ARGS_LIMIT,
            variables: declared(remains.environ, extent, metrics),
            membership: self
                .cgroups
                .get(&task.cgroup_id)
                .cloned()
                .unwrap_or_default(),
            ..Seen::default()
        }
    }

    fn look(
        &mut self,
        process: &Process,
        task: &Task,
        remains: Remains<'_>,
        metrics: &Metrics,
    ) -> (Seen, Outcome) {
        let mut seen = self.unseen(task, remains, metrics);
        seen.parent = process.parent;
        if process
            .read(self.cgroup_file, MAX_CGROUP, &mut self.buffer)
            .is_ok()
        {
            let (membership, unified) = cgroup::read(&self.buffer);
            if unified {
                self.remember(task.cgroup_id, &membership);
            }
            seen.membership = membership;
        }

        let exe = process.link("exe");
        let mut thread = None;
        if process.zombie || matches!(&exe, Err(e) if e.kind() == std::io::ErrorKind::NotFound) {
            let key = task.process;
            thread = (task.tid != key.pid)
                .then(|| process.thread(&self.proc_root, key.pid, task.tid))
                .flatten();
        }
        let process = thread.as_ref().unwrap_or(process);
        let exe = match &thread {
            Some(thread) => thread.link("exe"),
            None => exe,
        };

        let mut outcome = Outcome::Found;
        match process.read("cmdline", MAX_CMDLINE, &mut self.buffer) {
            // What the process was when it was seen, it is no more: it has called exec since, or
            // is about to end. Of the program only the command line is left.
            Ok(_) if !self.buffer.starts_with(remains.args) => return (seen, Outcome::Gone),
            Ok(extent) => {
                seen.cmdline.clone_from(&self.buffer);
                seen.cmdline_cut = extent == Extent::Cut;
            }
            Err(_) => outcome = Outcome::Denied,
        }
        match exe {
            Ok(exe) => seen.exe = Some(exe),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                outcome = Outcome::Denied;
            }
            Err(_) => {}
        }
        seen.cwd = process.link("cwd").ok();
        match process.read("environ", MAX_ENVIRON, &mut self.buffer) {
            // What it will be called, or was, it does not say now.
            Ok(_)
                if !process.zombie
                    && (process.without_program
                        || (self.buffer.is_empty() && seen.cmdline.is_empty())) =>
            {
                let left = Seen {
                    membership: seen.membership,
                    ..self.unseen(task, remains, metrics)
                };
                return (left, Outcome::Unsettled);
            }
            Ok(extent) => {
                if extent == Extent::Cut {
                    metrics.environ_cut();
                }
                seen.variables = declared(&self.buffer, extent, metrics);
            }
            Err(_) => outcome = Outcome::Denied,
        }
        (seen, outcome)
    }

    fn remember(&mut self, cgroup_id: u64, membership: &Membership) {
        // 1 is the root: where every process is on a host without the unified hierarchy.
        if cgroup_id <= 1 || self.cgroups.contains_key(&cgroup_id) {
            return;
        }
        if self.cgroups.len() >= MAX_CGROUPS {
            self.cgroups.shift_remove_index(0);
        }
        self.cgroups.insert(cgroup_id, membership.clone());
    }

    fn service(&mut self, task: &Task, seen: Seen) -> Service {
        let program = self.program(task, &seen);
        let container = seen
            .membership
            .container
            .as_deref()
            .and_then(|id| self.containers.find(id));
        let placed = place(&seen.membership, container);

        let mut attributes = seen.variables.attributes;
        let mut take = |key: &str| {
            let at = attributes.iter().position(|(k, _)| k == key)?;
            text::name(&attributes.remove(at).1)
        };
        let declared_name = take("service.name");
        let declared_namespace = take("service.namespace");
        let version = take("service.version");
        let declared_instance = take("service.instance.id");
        let declared_container = take("container.id");
        attributes.retain(|(key, _)| !OWN_ATTRIBUTES.contains(&key.as_str()));
        if let Some(container) = container {
            let known: [(&str, Option<&str>); 4] = match &container.pod {
                Some(pod) => [
                    ("k8s.namespace.name", container.namespace.as_deref()),
                    ("k8s.pod.name", Some(pod)),
                    ("k8s.container.name", Some(&container.name)),
                    ("", None),
                ],
                None => [
                    ("container.name", Some(&container.name)),
                    ("", None),
                    ("", None),
                    ("", None),
                ],
            };
            for (key, value) in known {
                if let Some(value) = value.and_then(text::name)
                    && !attributes.iter().any(|(k, _)| k == key)
                {
                    attributes.push((key.to_owned(), value));
                }
            }
        }

        let (name, source) = seen
            .variables
            .name
            .or(declared_name)
            .map(|name| (name, NameSource::Environment))
            .or(placed)
            .unwrap_or((program.name, program.source));
        let namespace = declared_namespace
            .or_else(|| container.and_then(|c| text::name(c.namespace.as_deref()?)));
        let instance_id = declared_instance
            .or_else(|| container.and_then(pod_instance))
            .unwrap_or_else(|| instance(&self.boot_id, &task.process));
        let container_id = seen.membership.container.or(declared_container);
        Service {
            name: name.into(),
            namespace: namespace.map(Arc::from),
            version: version.map(Arc::from),
            instance_id: instance_id.into(),
            pid: task.process.pid,
            executable: program.executable.map(Arc::from),
            container_id: container_id.map(Arc::from),
            attributes: attributes
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            source,
        }
    }

    fn program(&mut self, task: &Task, seen: &Seen) -> Program {
        let mut program = program::describe(&Clues {
            exe: seen.exe.as_deref(),
            args: &seen.cmdline,
            args_cut: seen.cmdline_cut,
            cwd: seen.cwd.as_deref(),
            comm: &task.comm,
        });
        let mut parent = seen.parent;
        for _ in 0..MAX_ANCESTORS {
            if !program.of_parent || parent <= 1 {
                break;
            }
            let Some(above) = self.parent(&mut parent) else {
                break;
            };
            // The executable stays the helper's own.
            program.name = above.name;
            program.source = above.source;
            program.of_parent = above.of_parent;
        }
        program
    }

    /// What the process `pid` runs; `pid` becomes that of its parent.
    fn parent(&mut self, pid: &mut u32) -> Option<Program> {
        let process = Process::open_pid(&self.proc_root, *pid).ok()?;
        let extent = process
            .read("cmdline", MAX_CMDLINE, &mut self.buffer)
            .ok()?;
        *pid = process.parent;
        Some(program::describe(&Clues {
            exe: process.link("exe").ok().as_deref(),
            args: &self.buffer,
            args_cut: extent == Extent::Cut,
            cwd: process.link("cwd").ok().as_deref(),
            comm: &[],
        }))
    }
}

/// Reads what the environment declares.
fn declared(content: &[u8], extent: Extent, metrics: &Metrics) -> Declared {
    let variables = environ::find(content, extent == Extent::Cut);
    let attributes = match variables.resource_attributes.map(environ::attributes) {
        Some(Ok(attributes)) => attributes,
        Some(Err(error)) => {
            metrics.attributes_discarded();
            tracing::debug!(%error, "OTEL_RESOURCE_ATTRIBUTES of a process is ignored");
            Vec::new()
        }
        None => Vec::new(),
    };
    Declared {
        name: variables.service_name.and_then(text::name_of_bytes),
        attributes,
    }
}

/// The name that container or unit give, strongest first: a unit inside a container, a pod's
/// container, the unit that started the container, the container, the machine, the unit.
fn place(membership: &Membership, container: Option<&Container>) -> Option<(String, NameSource)> {
    let unit = membership.unit.as_deref().and_then(text::name);
    if membership.by_hand {
        return None;
    }
    let contained = container
        .and_then(|c| text::name(&c.service))
        .or_else(|| membership.machine.as_deref().and_then(text::name))
        .map(|name| (name, NameSource::Container));
    let unit = unit.map(|name| (name, NameSource::Unit));
    let container_first = container.is_some_and(|c| c.pod.is_some()) && !membership.unit_inside;
    if container_first {
        contained.or(unit)
    } else {
        unit.or(contained)
    }
}

/// `<namespace>.<pod>.<container>`, as the conventions for Kubernetes say
/// (docs/non-normative/k8s-attributes.md).
fn pod_instance(container: &Container) -> Option<String> {
    let namespace = container.namespace.as_deref()?;
    let pod = container.pod.as_deref()?;
    text::name(&format!("{namespace}.{pod}.{}", container.name))
}

/// The same for one execution of one process for as long as it lives, whoever asks; different
/// for every other on any host.
fn instance(boot_id: &str, key: &ProcessKey) -> String {
    let id = format!(
        "{boot_id}/{}/{}/{}",
        key.pid, key.start_boottime_ns, key.exec_id
    );
    Uuid::new_v5(&INSTANCE_NAMESPACE, id.as_bytes()).to_string()
}

#[cfg(test)]
mod tests;
