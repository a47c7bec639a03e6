//! The agent under test: the real binary, on the real kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::metrics::{Counts, Page};
use crate::process::Process;
use crate::turn::Turn;
use crate::{http, names, skip::Skip, tools, wait};

/// Duration of served requests.
pub const SERVER: &str = "http_server_request_duration_seconds";
/// Duration of sent requests.
pub const CLIENT: &str = "http_client_request_duration_seconds";
/// Duration of served calls.
pub const CALL_SERVER: &str = "rpc_server_call_duration_seconds";
/// Duration of sent calls.
pub const CALL_CLIENT: &str = "rpc_client_call_duration_seconds";

/// How often a page is asked for that lacks a group, at most.
const SCRAPES: usize = 3;

/// A running agent; only one at a time on the host.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    address: SocketAddr,
    // Fields are dropped in this order: the agent ends before its folder and the turn go.
    run_dir: TempDir,
    _turn: Turn,
}

/// What the agent cannot be started without.
///
/// # Errors
/// Not root, so no probe can be attached.
pub fn root() -> Result<(), Skip> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Skip("needs root to attach probes".into()))
    }
}

impl Agent {
    /// Waits for the turn and starts an agent with these environment variables on top.
    ///
    /// # Panics
    /// If it is not ready within half a minute.
    #[must_use]
    #[track_caller]
    pub fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_in_turn(Turn::take(), environment)
    }

    /// As [`start`](Self::start), with a turn that the caller has.
    ///
    /// # Panics
    /// If it is not ready within half a minute.
    #[must_use]
    #[track_caller]
    pub fn start_in_turn(turn: Turn, environment: &[(&str, &str)]) -> Self {
        Self::start_within(Duration::from_secs(30), turn, environment)
    }

    /// As [`start_in_turn`](Self::start_in_turn), on a machine with a pace of its own.
    ///
    /// # Panics
    /// If it is not ready within `limit`.
    #[must_use]
    #[track_caller]
    pub fn start_within(limit: Duration, turn: Turn, environment: &[(&str, &str)]) -> Self {
        let run_dir = tempfile::tempdir().expect("a temporary folder");
        Self::start_at(limit, turn, run_dir, environment)
    }

    #[track_caller]
    fn start_at(
        limit: Duration,
        turn: Turn,
        run_dir: TempDir,
        environment: &[(&str, &str)],
    ) -> Self {
        let address = names::free_address();
        let command = command(&run_dir, address, environment);
        Self::start_command(limit, turn, run_dir, address, command)
    }

    /// Waits for the turn and starts an agent by the command that `wrap` makes of the usual one, for which
    /// it may prepare the agent's folder.
    ///
    /// # Panics
    /// If it is not ready within half a minute.
    #[must_use]
    #[track_caller]
    pub fn start_by(
        environment: &[(&str, &str)],
        wrap: impl FnOnce(&std::path::Path, Command) -> Command,
    ) -> Self {
        let turn = Turn::take();
        let run_dir = tempfile::tempdir().expect("a temporary folder");
        let address = names::free_address();
        let command = wrap(run_dir.path(), command(&run_dir, address, environment));
        Self::start_command(Duration::from_secs(30), turn, run_dir, address, command)
    }

    #[track_caller]
    fn start_command(
        limit: Duration,
        turn: Turn,
        run_dir: TempDir,
        address: SocketAddr,
        command: Command,
    ) -> Self {
        let mut process = Process::start(command);
        let deadline = std::time::Instant::now() + limit;
        loop {
            if http::get(address, "/readyz", "*/*").is_ok_and(|page| page.status == 200) {
                break;
            }
            let ended = process.ended();
            assert!(
                ended.is_none() && std::time::Instant::now() < deadline,
                "the agent is not ready ({ended:?}):\n{}",
                process.stderr()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            process,
            address,
            run_dir,
            _turn: turn,
        }
    }

    /// The agent that all tests of this test binary share, without an OTLP endpoint.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        Self::shared_with(|| Self::start(&[]))
    }

    /// As [`shared`](Self::shared), with a start of the binary's own. The first one wins.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn shared_with(start: impl FnOnce() -> Self) -> &'static Self {
        SHARED.get_or_init(|| {
            let agent = start();
            // SAFETY: atexit only stores the function, which takes nothing and does not unwind.
            unsafe { libc::atexit(end_shared) };
            agent
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder for the lock that makes it the only one.
    #[must_use]
    pub fn run_dir(&self) -> &std::path::Path {
        self.run_dir.path()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `/metrics` in the text format 0.0.4: the first one that has all of its groups, or the last
    /// of several that lack one. On a busy machine a group may miss the deadline of a scrape, and
    /// says so; that is no statement about its counts.
    ///
    /// # Panics
    /// If it does not answer, or not in the format.
    #[must_use]
    #[track_caller]
    pub fn page(&self) -> Page {
        for _ in 1..SCRAPES {
            let page = self.scrape();
            let groups = page.by("hark_collector_success", "collector", &[]);
            if groups.values().all(|success| *success == 1) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.scrape()
    }

    #[track_caller]
    fn scrape(&self) -> Page {
        let response = http::get(self.address, "/metrics", "text/plain;version=0.0.4")
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process.stderr()));
        assert_eq!(response.status, 200, "{}", response.body);
        Page::parse(&response.body).expect("the text format")
    }

    /// What the service served, by method and status.
    #[must_use]
    #[track_caller]
    pub fn server_counts(&self, service: &str) -> Counts {
        self.page().counts(SERVER, service)
    }

    /// What the service sent, by method and status.
    #[must_use]
    #[track_caller]
    pub fn client_counts(&self, service: &str) -> Counts {
        self.page().counts(CLIENT, service)
    }

    /// Exchanges of the service in one of [`SERVER`], [`CLIENT`] by `error_type`, empty for none.
    #[must_use]
    #[track_caller]
    pub fn errors(&self, family: &str, service: &str) -> BTreeMap<String, u64> {
        self.page().by(
            &format!("{family}_count"),
            "error_type",
            &[("service_name", service)],
        )
    }

    /// Exchanges that the agent says it lost, in the kernel and after it.
    #[must_use]
    #[track_caller]
    pub fn lost(&self) -> u64 {
        let page = self.page();
        page.total("hark_exchanges_lost_total", &[])
            + page.total("hark_exchanges_dropped_total", &[])
    }

    /// Waits until the service has served exactly this.
    ///
    /// # Panics
    /// If it has not when the reports have settled.
    #[track_caller]
    pub fn expect_served(&self, service: &str, want: &Counts) {
        let seen = wait::settle(wait::SETTLE, want, || self.server_counts(service));
        self.assert_seen(&format!("served by {service}"), want, &seen);
    }

    /// Waits until the service has sent exactly this.
    ///
    /// # Panics
    /// If it has not when the reports have settled.
    #[track_caller]
    pub fn expect_sent(&self, service: &str, want: &Counts) {
        let seen = wait::settle(wait::SETTLE, want, || self.client_counts(service));
        self.assert_seen(&format!("sent by {service}"), want, &seen);
    }

    /// Waits until the service has served exactly these calls, by method and status.
    ///
    /// # Panics
    /// If it has not when the reports have settled.
    #[track_caller]
    pub fn expect_calls_served(&self, service: &str, want: &Counts) {
        let seen = wait::settle(wait::SETTLE, want, || {
            self.page().calls(CALL_SERVER, service)
        });
        self.assert_seen(&format!("calls served by {service}"), want, &seen);
    }

    /// Waits until the service has made exactly these calls, by method and status.
    ///
    /// # Panics
    /// If it has not when the reports have settled.
    #[track_caller]
    pub fn expect_calls_sent(&self, service: &str, want: &Counts) {
        let seen = wait::settle(wait::SETTLE, want, || {
            self.page().calls(CALL_CLIENT, service)
        });
        self.assert_seen(&format!("calls made by {service}"), want, &seen);
    }

    #[track_caller]
    fn assert_seen(&self, what: &str, want: &Counts, seen: &Counts) {
        if want == seen {
            return;
        }
        let page = self.page();
        // What else the agent knows: its losses, and whom it took the missing ones for.
        let lost: Vec<String> = page
            .0
            .iter()
            .filter(|sample| sample.name.starts_with("hark_exchanges_") && sample.value > 0.0)
            .map(|sample| format!("{} {:?} {}", sample.name, sample.labels, sample.value))
            .collect();
        let services: BTreeSet<&String> = page
            .0
            .iter()
            .filter_map(|sample| sample.labels.get("service_name"))
            .collect();
        panic!(
            "{what}\n  sent: {want:?}\n  seen: {seen:?}\n  the agent: {lost:#?}\n  \
             services: {services:?}"
        );
    }

    /// Returns when all that happened before the call is in `/metrics`: makes an exchange of its
    /// own and waits for it, for records travel in order.
    ///
    /// # Panics
    /// If its exchange does not arrive.
    #[track_caller]
    pub fn barrier(&self) {
        let service = names::unique("barrier");
        let marker = crate::server::Server::one_shot(&service);
        let mut stream = TcpStream::connect(marker.tcp()).expect("the marker server listens");
        stream
            .write_all(b"GET /marker HTTP/1.1\r\nhost: x\r\n\r\n")
            .expect("it reads");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("it answers");
        assert_eq!(line, "HTTP/1.1 204 No Content\r\n");
        // It lives until the connection is closed, so that the agent can look at it.
        self.expect_served(&service, &crate::metrics::counts(&[("GET", "204", 1)]));
        drop(reader);
    }

    /// Ends it and starts another one in its place, with the same folder.
    ///
    /// # Panics
    /// If it does not end well within ten seconds, or the other is not ready within half a minute.
    #[must_use]
    #[track_caller]
    pub fn restart(self) -> Self {
        let Self {
            mut process,
            run_dir,
            _turn: turn,
            ..
        } = self;
        process.signal(Signal::TERM);
        let status = process.wait(Duration::from_secs(10));
        assert!(status.success(), "{status}: {}", process.stderr());
        Self::start_at(Duration::from_secs(30), turn, run_dir, &[])
    }

    /// Ends it by a signal and gives its status, its last words, and the turn.
    ///
    /// # Panics
    /// If it has not ended after ten seconds.
    #[track_caller]
    pub fn end(self, signal: Signal) -> (ExitStatus, String, Turn) {
        let Self {
            mut process,
            _turn: turn,
            ..
        } = self;
        process.signal(signal);
        let status = process.wait(Duration::from_secs(10));
        (status, process.stderr(), turn)
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .expect("the agent lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("a living process has VmRSS") * 1024
    }
}

static SHARED: OnceLock<Agent> = OnceLock::new();

/// Statics are not dropped at exit: the shared agent is asked to end, and its folder removed.
extern "C" fn end_shared() {
    let Some(agent) = SHARED.get() else { return };
    agent.process.signal(Signal::TERM);
    // Not longer than a user would wait; what is left is killed with this process.
    for _ in 0..100 {
        if agent.process.is_zombie() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = std::fs::remove_dir_all(agent.run_dir.path());
}

/// `hark run`, not yet started.
#[must_use]
pub fn command(run_dir: &TempDir, address: SocketAddr, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(tools::hark());
    command
        .arg("run")
        .env("HARK_LISTEN", address.to_string())
        .env("HARK_RUN_DIR", run_dir.path())
        // The kernel detaches probes one by one, which takes seconds at each agent's end. Tests of TLS
        // ask for them.
        .env("HARK_CAPTURE_TLS", "false")
        // Ours, not a key of the configuration.
        .env_remove("HARK_BIN");
    // What the developer's shell has must not send the spans of a test anywhere.
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(key);
        }
    }
    command.envs(environment.iter().copied());
    command
}

/// Lets a hark that `command` starts say what works on this host: its status, and what it says.
///
/// # Panics
/// If it does, or has not ended after a minute.
#[must_use]
pub fn doctor(mut command: Command, arguments: &[&str]) -> (Option<i32>, String) {
    command.arg("doctor").args(arguments).env_remove("HARK_BIN");
    let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(60));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (status.code(), stdout)
}

/// A listener whose port is taken for as long as it lives.
///
/// # Panics
/// If there is no port.
#[must_use]
pub fn taken_port() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port")
}
