//! What a process's cgroup says of its service: the container, or the systemd unit.
//!
//! `/proc/PID/cgroup` has one line per hierarchy (cgroups(7)): one on v2, a dozen on v1, both on a
//! hybrid host. The path is a trail of who put the process where, outermost first, and the
//! innermost says most.
//!
//! **Which units name a service.** A `.service` is what the service manager starts, under a name
//! that somebody gave it: it names a service. A `.scope` groups processes that something else
//! started (a login session, a terminal tab, `init` itself): it names nothing, unless it is a
//! container or a machine. So do slices, the user manager `user@1000.service`, and services that
//! exist to start other people's programs ([`LAUNCHERS`]: a login, a scheduler, a process manager,
//! a container engine); and what `systemd-run` names by itself (`run-u12.service`). What runs in
//! those is known by its program.
//!
//! **Containers.** An application container is known by its id; its name has to be looked up
//! ([`super::container`]). A system container (LXC, systemd-nspawn) is a machine with a name in the
//! path and services inside: its units come first, then its name. Engine and monitor processes
//! (conmon, LXC's monitor) are not inside.

use std::borrow::Cow;

/// Most lines of `/proc/PID/cgroup` that are read.
const MAX_LINES: usize = 64;
/// Deepest path that is read, in segments.
const MAX_DEPTH: usize = 64;

/// What a cgroup path says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// The container's id: 64 hexadecimal digits, or as the ECS agent writes it.
    pub(super) container: Option<String>,
    /// The name of a system container.
    pub(super) machine: Option<String>,
    /// The unit that names the service, without `.service`, template instance and escapes.
    pub(super) unit: Option<String>,
    /// The unit stands inside the container; else it is what started the container.
    pub(super) unit_inside: bool,
    /// Inside its container the process was started by hand or by a launcher, so the container's
    /// name does not name it.
    pub(super) by_hand: bool,
}

impl Membership {
    fn strength(&self) -> u8 {
        match (&self.container, &self.machine, &self.unit) {
            (Some(_), ..) => 3,
            (_, Some(_), _) => 2,
            (.., Some(_)) => 1,
            _ => 0,
        }
    }
}

/// Reads the content of `/proc/PID/cgroup` and takes the hierarchy that says most: the unified
/// one, then systemd's own, then the others in their order. Also says whether it was the unified
/// one that decided.
pub(super) fn read(content: &[u8]) -> (Membership, bool) {
    let content = String::from_utf8_lossy(content);
    let mut paths: Vec<(u8, &str)> = content
        .lines()
        .take(MAX_LINES)
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let hierarchy = fields.next()?;
            let controllers = fields.next()?;
            let path = fields.next()?;
            let rank = match (hierarchy, controllers) {
                ("0", "") => 0,
                (_, "name=systemd") => 1,
                _ => 2,
            };
            Some((rank, path))
        })
        .collect();
    paths.sort_by_key(|(rank, _)| *rank);
    let mut best = (Membership::default(), false);
    for (rank, path) in paths {
        let membership = self::path(path);
        if membership.strength() > best.0.strength() {
            best = (membership, rank == 0);
        }
    }
    best
}

/// What one segment of a path is.
#[derive(Debug, PartialEq, Eq)]
enum Segment<'a> {
    /// An application container, by its id.
    Container(&'a str),
    /// A system container, by its name.
    Machine(Cow<'a, str>),
    /// A unit that names a service.
    Unit(Cow<'a, str>),
    /// Something that only contains what others started.
    Holder,
    /// A slice, or a directory without meaning.
    Plain,
}

/// Reads one path.
pub(super) fn path(path: &str) -> Membership {
    // The cgroup was removed while the process was still in it.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut found = Membership::default();
    let mut previous = "";
    // `..` leads out of the agent's own cgroup namespace; what follows is as good as elsewhere.
    for segment in path
        .split('/')
        .filter(|s| !s.is_empty() && *s != "..")
        .take(MAX_DEPTH)
    {
        match classify(segment, previous) {
            Segment::Container(id) => {
                found.container = Some(id.to_owned());
                found.machine = None;
                found.unit_inside = false;
                found.by_hand = false;
            }
            Segment::Machine(name) => {
                found = Membership {
                    machine: Some(name.into_owned()),
                    ..Membership::default()
                };
            }
            Segment::Unit(unit) => {
                found.unit = Some(unit.into_owned());
                found.unit_inside = found.container.is_some() || found.machine.is_some();
                found.by_hand = false;
            }
            Segment::Holder => {
                found.unit = None;
                found.unit_inside = false;
                found.by_hand = true;
            }
            Segment::Plain => {}
        }
        previous = segment;
    }
    found
}

fn classify<'a>(segment: &'a str, previous: &str) -> Segment<'a> {
    if let Some(id) = container_id(segment, previous) {
        return Segment::Container(id);
    }
    if let Some(name) = machine(segment, previous) {
        return name;
    }
    if let Some(unit) = segment.strip_suffix(".service") {
        return service(unit);
    }
    if segment.ends_with(".scope") {
        return Segment::Holder;
    }
    // OpenRC: `/openrc/nginx` (v1), `/openrc.nginx` (v2).
    let openrc = match segment.strip_prefix("openrc.") {
        None if previous == "openrc" => Some(segment),
        stripped => stripped,
    };
    match openrc.filter(|name| !name.is_empty()) {
        Some(name) if LAUNCHERS.contains(&name) => Segment::Holder,
        Some(name) => Segment::Unit(name.into()),
        None => Segment::Plain,
    }
}

fn service(unit: &str) -> Segment<'_> {
    let (name, instance) = match unit.split_once('@') {
        Some((name, instance)) => (name, Some(instance)),
        None => (unit, None),
    };
    if name == "systemd-nspawn"
        && let Some(machine) = instance.filter(|i| !i.is_empty())
    {
        return Segment::Machine(unescape(machine));
    }
    // The user manager: what its user's own units are called comes after it.
    let holder = name.is_empty()
        || name == "user"
        || LAUNCHERS.contains(&name)
        || name.starts_with("dbus-:")
        // `app[-launcher]-id@random.service`: a desktop's application
        // (https://systemd.io/DESKTOP_ENVIRONMENTS/).
        || (instance.is_some() && name.starts_with("app-"))
        // PM2, a process manager, one per user.
        || name.starts_with("pm2-")
        || is_transient(name);
    if holder {
        return Segment::Holder;
    }
    // A snap's own prefix is no part of what it is called.
    let name = name.strip_prefix("snap.").unwrap_or(name);
    Segment::Unit(unescape(name))
}

/// `run-u12`, `run-r<32 hex>`, `run-p12-i34`: names that `systemd-run` makes up.
fn is_transient(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("run-") else {
        return false;
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = rest.strip_prefix('u') {
        return digits(number);
    }
    if let Some(random) = rest.strip_prefix('r') {
        return random.len() == 32 && random.bytes().all(|b| b.is_ascii_hexdigit());
    }
    rest.strip_prefix('p')
        .and_then(|r| r.split_once("-i"))
        .is_some_and(|(pid, id)| digits(pid) && digits(id))
}

/// Finds the id in `docker-<id>.scope`, `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`,
/// `kubepods-….slice:cri-containerd:<id>`, `libpod-payload-<id>` and the like.
fn container_id<'a>(segment: &'a str, previous: &str) -> Option<&'a str> {
    let bare = segment.strip_suffix(".scope").unwrap_or(segment);
    // runc's systemd notation on a host without systemd: `slice:prefix:name`.
    let last = bare.rsplit(':').next()?;
    let (prefix, id) = match last.rsplit_once('-') {
        Some((prefix, id)) => (prefix, id),
        None => ("", last),
    };
    if is_id(id) {
        // conmon watches a container from outside.
        return (!prefix.ends_with("conmon")).then_some(id);
    }
    // `/ecs/<task>/<task>-<number>`: the task's id is 32 hexadecimal digits.
    let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let ecs = prefix.len() == 32 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
    (digits && ecs && prefix == previous).then_some(last)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A system container's segment.
fn machine<'a>(segment: &'a str, previous: &str) -> Option<Segment<'a>> {
    if segment.starts_with("lxc.monitor") {
        return Some(Segment::Holder);
    }
    // LXC 4 and later; before that `/lxc/<name>`.
    let lxc = match segment.strip_prefix("lxc.payload.") {
        None if previous == "lxc" || previous == "lxc.payload" => Some(segment),
        stripped => stripped,
    };
    if let Some(name) = lxc.filter(|name| !name.is_empty()) {
        return Some(Segment::Machine(name.into()));
    }
    let name = segment.strip_prefix("machine-")?.strip_suffix(".scope")?;
    let name = unescape(name);
    // libvirt: `<driver>-<number>-<name>`. A virtual machine's process is the emulator.
    if name.starts_with("qemu-") {
        return Some(Segment::Holder);
    }
    let guest = name
        .strip_prefix("lxc-")
        .and_then(|rest| rest.split_once('-'))
        .filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
        .map(|(_, guest)| guest.to_owned());
    Some(Segment::Machine(guest.map_or(name, Cow::Owned)))
}

/// Undoes systemd's escapes in unit names: `\x2d` is `-` (systemd.unit(5)).
fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("\\x") {
        return name.into();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = rest
            .strip_prefix(b"\\x")
            .and_then(|r| r.get(..2))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Services that start other people's programs, which stay in their cgroup: logins (where no
/// session scope is made), schedulers, inetd, process managers, container engines and cluster
/// agents, boot scripts, build agents.
const LAUNCHERS: &[&str] = &[
    "amazon-ssm-agent",
    "anacron",
    "at",
    "atd",
    "autovt",
    "balena",
    "buildkit",
    "circus",
    "cloud-config",
    "cloud-final",
    "cloud-init",
    "cloud-init-local",
    "console-getty",
    "container-getty",
    "containerd",
    "cri-docker",
    "crio",
    "cron",
    "crond",
    "cronie",
    "debug-shell",
    "display-manager",
    "docker",
    "dropbear",
    "ecs",
    "emergency",
    "fcron",
    "gdm",
    "getty",
    "gitlab-runner",
    "google-startup-scripts",
    "inetd",
    "init",
    "k0scontroller",
    "k0sworker",
    "k3s",
    "k3s-agent",
    "kubelet",
    "lightdm",
    "local",
    "lxc",
    "lxd",
    "monit",
    "nomad",
    "nomad-client",
    "podman",
    "rc-local",
    "rescue",
    "rke2-agent",
    "rke2-server",
    "rundeckd",
    "runit",
    "runsvdir",
    "s6",
    "sddm",
    "serial-getty",
    "slurmd",
    "snap.docker.dockerd",
    "snap.lxd.daemon",
    "snap.microk8s.daemon-containerd",
    "snap.microk8s.daemon-kubelite",
    "ssh",
    "sshd",
    "sshd-keygen",
    "supervisor",
    "supervisord",
    "telnet",
    "teleport",
    "ttyd",
    "xinetd",
];

#[cfg(test)]
mod tests;
