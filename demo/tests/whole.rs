//! The whole demo in a pipe, with a stand-in for the agent: it ends, it counts, and it leaves
//! nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// An agent that is ready at once, has heard nothing, and whose table is one line.
const AGENT: &str = r##"#!/bin/sh
if [ "$1" = top ]; then sleep 1; echo THE TABLE; exit; fi
exec python3 - <<'END'
import http.server, os
class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = b"# EOF\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
host, port = os.environ["HARK_LISTEN"].split(":")
http.server.HTTPServer((host, int(port)), Agent).serve_forever()
END
"##;

/// Why the demo cannot run here, if it cannot.
fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_python = std::env::split_paths(&path).any(|part| part.join("python3").is_file());
    (!has_python).then_some("python3 is not installed")
}

/// A directory for one run: the stand-in agent, and the place for temporary files. Its path is in
/// the environment of every process of the run, which tells them from others.
struct Run {
    directory: tempfile::TempDir,
}

impl Run {
    fn new(agent: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hark");
        fs::write(&file, agent).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hark-demo"))
            .args(["--seconds", "2"])
            .env("HARK_BIN", self.path().join("hark"))
            .env("TMPDIR", self.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Nothing that the run started is there any more, and no file.
    fn assert_clean(&self) {
        let files: Vec<_> = fs::read_dir(self.path().join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(files.is_empty(), "{files:?}");
        // What was killed may take a moment to be gone.
        for _ in 0..200 {
            if self.processes().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left behind: {:?}", self.processes());
    }

    /// The command lines of the processes of this run.
    fn processes(&self) -> Vec<String> {
        let marker = self.path().join("tmp");
        let marker = marker.as_os_str().as_encoded_bytes();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let directory = entry.ok()?.path();
                let environment = fs::read(directory.join("environ")).ok()?;
                environment
                    .windows(marker.len())
                    .any(|window| window == marker)
                    .then(|| fs::read_to_string(directory.join("cmdline")).unwrap_or_default())
            })
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn in_a_pipe_it_prints_the_table_once_and_the_totals() {
    if let Some(reason) = missing() {
        println!("SKIPPED in_a_pipe_it_prints_the_table_once_and_the_totals: {reason}");
        return;
    }
    let run = Run::new(AGENT);
    let Output {
        status,
        stdout,
        stderr,
    } = run.start().wait_with_output().unwrap();
    let (output, errors) = (text(&stdout), text(&stderr));
    assert!(status.success(), "{errors}");
    assert_eq!(output.matches("THE TABLE\n").count(), 1, "{output}");
    for service in ["storefront ", "checkout ", "catalog ", "payment "] {
        assert_eq!(
            output
                .lines()
                .filter(|line| line.starts_with(service))
                .count(),
            1,
            "{output}"
        );
    }
    let all: Vec<u64> = output
        .lines()
        .find_map(|line| line.strip_prefix("all "))
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    // How many were sent depends on the host; that this agent heard none does not.
    assert_ne!(all[0], 0, "{output}");
    assert_eq!(all[1], 0, "{output}");
    assert!(output.ends_with("what was lost\n"), "{output}");
    run.assert_clean();
}

#[test]
fn a_signal_ends_it_and_everything_it_started() {
    if let Some(reason) = missing() {
        println!("SKIPPED a_signal_ends_it_and_everything_it_started: {reason}");
        return;
    }
    // The table never ends by itself.
    let run = Run::new(&AGENT.replace("sleep 1;", "exec sleep 1000;"));
    let mut demo = run.start();
    // The load generator is the last but one to be started.
    while !run.processes().iter().any(|line| line.contains("\0load\0")) {
        assert!(demo.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    run.assert_clean();
}

#[test]
fn an_agent_that_fails_is_quoted() {
    if let Some(reason) = missing() {
        println!("SKIPPED an_agent_that_fails_is_quoted: {reason}");
        return;
    }
    let run = Run::new("#!/bin/sh\necho 'no BTF on this kernel' >&2\nexit 1\n");
    let output = run.start().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.ends_with(
            "hark-demo: `hark run` ended before it was ready (exit status: 1); it said:\n  no BTF \
             on this kernel\n"
        ),
        "{errors}"
    );
    run.assert_clean();
}
