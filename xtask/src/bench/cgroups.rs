//! What a scrape costs on a host of many containers: cgroups with a process each, every one a service
//! of its own, and connections beside them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::agent::Agent;
use super::child::{Interrupt, Running};
use super::figure::{Budget, Figure};
use super::phases::{Bench, MIB, raise_open_files};
use super::stats::number;
use crate::process;

/// Cgroups, and services.
const CGROUPS: usize = 500;
/// Connections; both their ends are here.
const CONNECTIONS: usize = 1000;
/// Scrapes that are measured.
const SCRAPES: usize = 12;
/// Time between two: the groups look at the processes anew once in half a second, and a scrape that
/// found that done already would be too cheap.
const SPACING: Duration = Duration::from_millis(700);
/// How long the agent may take to name all services.
const SETTLE: Duration = Duration::from_secs(30);
/// The groups.
const COLLECTORS: [&str; 4] = ["cpu", "memory", "disk", "network"];
/// The limit of services is above what there is here.
const CONFIGURATION: [(&str, &str); 1] = [("HARK_RESOURCES_MAX_SERVICES", "2000")];

/// A folder of cgroups on one hierarchy, removed on drop.
struct Folder(PathBuf);

impl Folder {
    /// On each hierarchy that the agent reads.
    fn on_all() -> Result<Vec<Self>> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
        let mut folders = Vec::new();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, point, kind, options, ..] = fields[..] else {
                continue;
            };
            let has = |wanted: &str| options.split(',').any(|option| option == wanted);
            if kind == "cgroup2" || kind == "cgroup" && (has("cpu") || has("memory")) {
                let path = Path::new(point).join(format!("hark-bench-{}", std::process::id()));
                fs::create_dir(&path)
                    .with_context(|| format!("cannot make the cgroup {}", path.display()))?;
                let folder = Self(path);
                folder.hand_down()?;
                folders.push(folder);
            }
        }
        Ok(folders)
    }

    /// Gives its controllers to the cgroups in it, if it is on version 2 and has any.
    fn hand_down(&self) -> Result<()> {
        let Ok(controllers) = fs::read_to_string(self.0.join("cgroup.controllers")) else {
            return Ok(());
        };
        for controller in controllers.split_whitespace() {
            fs::write(
                self.0.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )
            .with_context(|| format!("cannot hand down {controller}"))?;
        }
        Ok(())
    }

    /// One in it; gives its file of processes.
    fn add(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path)
            .with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        Ok(path.join("cgroup.procs"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| entry.path().is_dir());
        for path in inner
            .map(|entry| entry.path())
            .chain([self.0.clone()])
            .collect::<Vec<_>>()
        {
            if let Err(error) = fs::remove_dir(&path) {
                eprintln!("xtask: cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// A process in a cgroup of its own on each hierarchy, and a service of its own.
fn inhabitant(folders: &[Folder], number: usize) -> Result<Running> {
    let name = format!("{number}");
    let mut script = String::new();
    for folder in folders {
        let procs = folder.add(&name)?;
        script += &format!("echo $$ > '{}' && ", procs.display());
    }
    script += "exec sleep 100000";
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .env("OTEL_SERVICE_NAME", format!("hark-bench-{number}"));
    Running::start(&mut command)
}

/// Connections to this process from itself, all open.
fn connections(interrupt: &Interrupt) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    (0..CONNECTIONS)
        .map(|_| {
            interrupt.check()?;
            let client = TcpStream::connect(address)?;
            Ok((client, listener.accept()?.0))
        })
        .collect()
}

/// Scrapes of one agent.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    process::step("cgroups");
    raise_open_files()?;
    let agent = Agent::start_with(&bench.agent, &CONFIGURATION, &bench.interrupt)?;
    let folders = Folder::on_all()?;
    // Ended before their cgroups are removed: it is dropped first.
    let mut inhabitants = Vec::new();
    for number in 0..CGROUPS {
        bench.interrupt.check()?;
        inhabitants.push(inhabitant(&folders, number)?);
    }
    let connections = connections(&bench.interrupt)?;
    let services = |page: &super::page::Page| page.sum("hark_resource_services", None);
    let settled = bench.interrupt.wait(SETTLE, || {
        Ok((services(&agent.page()?)? >= number(CGROUPS as u64)).then_some(()))
    })?;
    settled.context("the agent has not named all services")?;

    let mut scrapes = Vec::new();
    let mut by_collector = [const { Vec::new() }; COLLECTORS.len()];
    let (mut samples, mut failures) = (0, 0.0);
    for _ in 0..SCRAPES {
        let next = Instant::now() + SPACING;
        bench
            .interrupt
            .wait(2 * SPACING, || Ok((Instant::now() >= next).then_some(())))?;
        let start = Instant::now();
        let page = agent.page()?;
        scrapes.push(start.elapsed().as_secs_f64() * 1e3);
        samples = page.samples();
        for (collector, took) in COLLECTORS.iter().zip(&mut by_collector) {
            let label = Some(("collector", *collector));
            took.push(page.sum("hark_collector_duration_seconds", label)? * 1e3);
            failures += 1.0 - page.sum("hark_collector_success", label)?;
        }
    }
    let resident = number(agent.resident()?) / MIB;
    let maps = number(agent.maps()?) / MIB;
    drop(inhabitants);
    drop(connections);
    agent.end()?;

    let host = format!("{CGROUPS} cgroups and services, {CONNECTIONS} connections");
    let mut figures = vec![
        Figure::new(
            format!("a scrape of {samples} samples, {host}"),
            "ms",
            Budget::None,
        )
        .with(scrapes),
    ];
    for (collector, took) in COLLECTORS.iter().zip(by_collector) {
        let name = format!("  of that, the collector {collector}, beside the others");
        figures.push(Figure::new(name, "ms", Budget::None).with(took));
    }
    figures.extend([
        Figure::new(
            "  collectors that were not complete",
            "",
            Budget::Always(0.0),
        )
        .with([failures]),
        Figure::new("agent's resident memory there", "MiB", Budget::None).with([resident]),
        Figure::new(
            "memory of the kernel side's maps, whatever the load",
            "MiB",
            Budget::None,
        )
        .with([maps]),
    ]);
    Ok(figures)
}
