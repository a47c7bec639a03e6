//! The server under load and its client: nginx with one small static file, and wrk.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::agent::free_address;
use super::child::{Interrupt, Running};
use super::page;
use super::stats::number;

/// Name of its executable, and so of its service.
pub(super) const SERVICE: &str = "hark-bench-nginx";
/// Size of the static file, bytes: that of nginx's own welcome page.
const FILE: usize = 615;

/// What a run of the load came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Requests per second, by wrk.
    pub(super) rate: f64,
    /// Time that nginx spent on a CPU per request, ns. Other programs on the host disturb it less
    /// than they do the rate.
    pub(super) server_ns: f64,
}

/// A running nginx: one process, which is its own worker.
pub(super) struct Nginx {
    running: Running,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    pub(super) fn start(interrupt: &Interrupt) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let root = folder.path();
        // A copy under a name of our own: other servers on this host may be nginx too.
        let program = root.join(SERVICE);
        let original = find("nginx")?;
        fs::copy(&original, &program)
            .with_context(|| format!("cannot copy {}", original.display()))?;
        fs::create_dir(root.join("html"))?;
        fs::write(root.join("html/file"), [b'f'; FILE])?;
        let address = free_address()?;
        let config = root.join("nginx.conf");
        let at = root.display();
        fs::write(
            &config,
            format!(
                "daemon off; master_process off; user root; pid {at}/pid; error_log stderr warn;\n\
                 worker_rlimit_nofile 8192;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{\n\
                 access_log off; sendfile on; tcp_nopush on; default_type text/plain;\n\
                 keepalive_requests 1000000000; keepalive_timeout 600;\n\
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
                 fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi;\n\
                 scgi_temp_path {at}/scgi;\n\
                 server {{\n\
                 listen {address} backlog=4096;\n\
                 location / {{ root {at}/html; }}\n\
                 location = /status {{ stub_status; }}\n\
                 }}\n}}\n"
            ),
        )?;
        let mut running = Running::start(
            Command::new(&program)
                .arg("-p")
                .arg(root)
                .arg("-c")
                .arg(&config)
                .args(["-e", "stderr"]),
        )?;
        let ready = interrupt.wait(Duration::from_secs(10), || {
            running.expect_running()?;
            Ok(page::get(address, "/status").ok())
        })?;
        if ready.is_none() {
            bail!("nginx does not answer: {}", running.output()?.trim_end());
        }
        Ok(Self {
            running,
            address,
            _folder: folder,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that nginx has received, by its own count, this one included.
    pub(super) fn requests(&self) -> Result<u64> {
        requests(&page::get(self.address, "/status")?)
    }

    /// Loads it for so long with 32 kept-alive connections.
    pub(super) fn load(&self, seconds: u64, interrupt: &Interrupt) -> Result<Load> {
        let (cpu, requests) = (self.cpu_ns()?, self.requests()?);
        let wrk = Running::start(
            Command::new(find("wrk")?)
                .args(["-t1", "-c32", &format!("-d{seconds}s")])
                .arg(format!("http://{}/file", self.address)),
        )?;
        let report = wrk.finish(interrupt, Duration::from_secs(seconds + 15))?;
        let cpu = number(self.cpu_ns()? - cpu);
        Ok(Load {
            rate: rate(&report)?,
            server_ns: cpu / number(self.requests()? - requests),
        })
    }

    /// Time on a CPU so far, ns.
    fn cpu_ns(&self) -> Result<u64> {
        let path = format!("/proc/{}/schedstat", self.running.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let first = text.split_whitespace().next();
        first
            .and_then(|cpu| cpu.parse().ok())
            .with_context(|| format!("{path} does not begin with a number"))
    }
}

/// A program on PATH or in the folders of system programs.
pub(super) fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed; `cargo xtask setup bench` does it"))
}

/// The third number below `server accepts handled requests`.
fn requests(status: &str) -> Result<u64> {
    let mut lines = status.lines();
    lines
        .find(|line| line.trim() == "server accepts handled requests")
        .and_then(|_| lines.next()?.split_whitespace().nth(2)?.parse().ok())
        .with_context(|| format!("nginx's status is not understood: {status}"))
}

/// wrk's rate, if every request that it made succeeded.
fn rate(report: &str) -> Result<f64> {
    let value = |name: &str| {
        let line = report
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.trim())
    };
    for failure in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(count) = value(failure) {
            bail!("the load failed: {failure} {count}");
        }
    }
    value("Requests/sec:")
        .and_then(|rate| rate.parse().ok())
        .with_context(|| format!("wrk's report is not understood: {report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_counts_requests_in_the_third_column() {
        let status = "Active connections: 1 \nserver accepts handled requests\n 7 8 912 \n\
                      Reading: 0 Writing: 1 Waiting: 0 \n";
        assert_eq!(requests(status).unwrap(), 912);
        assert!(requests("server accepts handled requests\n 7 8\n").is_err());
        assert!(requests("<html>").is_err());
    }

    #[test]
    fn a_load_with_failures_has_no_rate() {
        let report = "  100 requests in 1.00s, 81.00KB read\n";
        let end = "Requests/sec:  31024.51\nTransfer/sec:     25.03MB\n";
        assert_eq!(rate(&format!("{report}{end}")).unwrap(), 31024.51);
        let errors = "  Socket errors: connect 0, read 3, write 0, timeout 0\n";
        assert_eq!(
            rate(&format!("{report}{errors}{end}"))
                .unwrap_err()
                .to_string(),
            "the load failed: Socket errors: connect 0, read 3, write 0, timeout 0"
        );
        let refused = "  Non-2xx or 3xx responses: 9\n";
        assert_eq!(
            rate(&format!("{report}{refused}{end}"))
                .unwrap_err()
                .to_string(),
            "the load failed: Non-2xx or 3xx responses: 9"
        );
        assert!(rate(report).is_err());
    }
}
