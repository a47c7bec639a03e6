//! The agent that is measured: started, asked, and looked at from outside.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::child::{Interrupt, Running};
use super::page::{self, Page};

/// The thread that reads the ring buffer, by the name that the agent gives it.
const PIPELINE: &str = "hark-pipeline";

/// A running agent that is ready.
pub(super) struct Agent {
    running: Running,
    address: SocketAddr,
    // After `running`: the agent ends before its folder goes.
    _run_dir: TempDir,
}

/// The kernel's figures of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// Time spent in it, ns, while statistics were switched on.
    pub(super) time_ns: u64,
    /// Times it ran while they were.
    pub(super) runs: u64,
}

/// What the pipeline's thread has used since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    /// Time on a CPU, ns.
    pub(super) cpu_ns: u64,
    /// Times it went to sleep, and so was woken.
    pub(super) sleeps: u64,
}

impl Agent {
    /// Starts it with the default configuration, without export of spans, and waits until it is
    /// ready.
    pub(super) fn start(program: &Path, interrupt: &Interrupt) -> Result<Self> {
        Self::start_with(program, &[], interrupt)
    }

    /// As [`start`](Self::start), with a configuration.
    pub(super) fn start_with(
        program: &Path,
        configuration: &[(&str, &str)],
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let run_dir = tempfile::tempdir().context("cannot make a temporary folder")?;
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .arg("run")
            .env("HARK_LISTEN", address.to_string())
            .env("HARK_RUN_DIR", run_dir.path());
        // The figures are those of the defaults, whatever the developer's shell has set.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            let ours = ["HARK_LISTEN", "HARK_RUN_DIR"].contains(&&*name_text);
            if name_text.starts_with("OTEL_") || name_text.starts_with("HARK_") && !ours {
                command.env_remove(name);
            }
        }
        command.envs(configuration.iter().copied());
        let mut running = Running::start(&mut command)?;
        let ready = interrupt.wait(Duration::from_secs(60), || {
            running.expect_running()?;
            Ok(page::get(address, "/readyz").ok())
        })?;
        if ready.is_none() {
            bail!("the agent is not ready: {}", running.output()?.trim_end());
        }
        Ok(Self {
            running,
            address,
            _run_dir: run_dir,
        })
    }

    /// Asks it to end and waits for it.
    pub(super) fn end(mut self) -> Result<()> {
        let status = self.running.end()?;
        if !status.success() {
            bail!(
                "the agent ended badly: {status}\n{}",
                self.running.output()?
            );
        }
        Ok(())
    }

    /// Its process, which leads a group of its own.
    pub(super) fn id(&self) -> u32 {
        self.running.id()
    }

    pub(super) fn page(&self) -> Result<Page> {
        Page::get(self.address)
    }

    /// Resident memory, bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.running.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = field(&text, "VmRSS:").and_then(|value| value.strip_suffix("kB"));
        let kib: u64 = kib
            .and_then(|kib| kib.trim().parse().ok())
            .with_context(|| format!("{path} has no VmRSS"))?;
        Ok(kib * 1024)
    }

    /// What the thread that reads the ring buffer has used.
    pub(super) fn pipeline(&self) -> Result<Thread> {
        let folder = format!("/proc/{}/task", self.running.id());
        for task in fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
            let task = task?.path();
            let read = |name: &str| {
                let path = task.join(name);
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
            };
            if read("comm").is_ok_and(|comm| comm.trim_end() == PIPELINE) {
                return thread(&read("schedstat")?, &read("status")?)
                    .with_context(|| format!("{} is not understood", task.display()));
            }
        }
        bail!("the agent has no thread `{PIPELINE}`")
    }

    /// Its kernel programs, by the tracepoint that each is attached to.
    pub(super) fn programs(&self) -> Result<BTreeMap<String, Program>> {
        let programs = by_tracepoint(&self.descriptors()?);
        if programs.is_empty() {
            bail!("the agent has no program that is attached to a tracepoint");
        }
        Ok(programs)
    }

    /// Memory of its kernel side's maps as the kernel accounts it, bytes.
    pub(super) fn maps(&self) -> Result<u64> {
        let maps = maps(&self.descriptors()?);
        if maps.is_empty() {
            bail!("the agent has no maps");
        }
        Ok(maps.values().sum())
    }

    /// What the kernel says of each of its descriptors.
    fn descriptors(&self) -> Result<Vec<String>> {
        let folder = format!("/proc/{}/fdinfo", self.running.id());
        let mut infos = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
            // A descriptor may be closed while we read; then it is no program's.
            infos.extend(fs::read_to_string(entry?.path()).ok());
        }
        Ok(infos)
    }
}

/// A port that is free now.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// Switches the kernel's run-time statistics of BPF programs on, for as long as the result lives;
/// they go off by themselves should we be killed.
pub(super) fn statistics() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("cannot switch on the run-time statistics of BPF programs")
}

/// Whether programs of an agent are attached.
pub(super) fn attached() -> bool {
    aya::programs::loaded_programs()
        // One that is freed between two steps of the listing is not loaded.
        .filter_map(Result::ok)
        // The kernel keeps the first 15 bytes of a name.
        .any(|program| {
            b"sock_send_length".starts_with(program.name()) && program.name().len() == 15
        })
}

fn thread(schedstat: &str, status: &str) -> Option<Thread> {
    Some(Thread {
        cpu_ns: schedstat.split_whitespace().next()?.parse().ok()?,
        sleeps: field(status, "voluntary_ctxt_switches:")?.parse().ok()?,
    })
}

/// Descriptors of links name a program's number and its tracepoint, those of programs its number
/// and its figures.
fn by_tracepoint(infos: &[String]) -> BTreeMap<String, Program> {
    let figures = |id: &str| {
        infos.iter().find_map(|info| {
            let program = Program {
                time_ns: field(info, "run_time_ns:")?.parse().ok()?,
                runs: field(info, "run_cnt:")?.parse().ok()?,
            };
            (field(info, "prog_id:")? == id).then_some(program)
        })
    };
    infos
        .iter()
        .filter_map(|info| {
            let name = field(info, "raw_tp_name:").or_else(|| field(info, "tp_name:"))?;
            Some((name.to_owned(), figures(field(info, "prog_id:")?)?))
        })
        .collect()
}

/// The memory of each map by its number: a map may have several descriptors.
fn maps(infos: &[String]) -> BTreeMap<String, u64> {
    infos
        .iter()
        .filter_map(|info| {
            let memory = field(info, "memlock:")?.parse().ok()?;
            Some((field(info, "map_id:")?.to_owned(), memory))
        })
        .collect()
}

/// The value of a line that begins with `name`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_counts_once_and_a_program_is_no_map() {
        let infos = [
            "pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n",
            "pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n",
            "pos:\t0\nmap_type:\t2\nmemlock:\t100\nmap_id:\t9\n",
            "pos:\t0\nprog_type:\t26\nmemlock:\t8192\nprog_id:\t7\n",
            "pos:\t0\n",
        ]
        .map(str::to_owned);
        let expected = [("7".to_owned(), 4096), ("9".to_owned(), 100)];
        assert_eq!(maps(&infos), expected.into());
    }
}
