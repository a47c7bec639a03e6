//! What the agent is given wrongly ends its start with a sentence that names what and where.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::process::Process;
use hark_tests::turn::Turn;
use hark_tests::{names, need, tools};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The start fails, without a crash, and the last line on stderr has all of these words.
#[track_caller]
fn expect_refusal(command: Command, words: &[&str]) {
    let shown = format!("{command:?}");
    let (status, _, stderr) = Process::finish(command, Duration::from_secs(30));
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{shown}: {status}\n{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{shown}: {stderr}");
    let last = stderr
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    for word in words {
        assert!(
            last.contains(word),
            "{shown}: {word:?} is not in the last line of\n{stderr}"
        );
    }
}

/// `hark run` with a configuration file of this text.
fn configured(folder: &TempDir, text: &str) -> Command {
    let file = folder.path().join("hark.yaml");
    std::fs::write(&file, text).expect("our own folder");
    let mut command = agent::command(folder, names::free_address(), &[]);
    command.env_remove("HARK_LISTEN").arg("--config").arg(file);
    command
}

#[test]
fn an_unknown_key() {
    let _turn = Turn::take();
    let folder = folder();
    let text = "ring_buffer_bytes: 1048576\nlissten: 127.0.0.1:9465\n";
    expect_refusal(
        configured(&folder, text),
        &["hark.yaml:2:1", "lissten", "listen"],
    );
}

#[test]
fn a_bad_value() {
    let _turn = Turn::take();
    let folder = folder();
    let words = ["hark.yaml:1:9", "listen", "nowhere"];
    expect_refusal(configured(&folder, "listen: nowhere\n"), &words);
    let text = "metrics:\n  max_series: many\n";
    expect_refusal(
        configured(&folder, text),
        &["hark.yaml:2:15", "max_series", "many"],
    );
}

#[test]
fn not_yaml() {
    let _turn = Turn::take();
    let folder = folder();
    expect_refusal(configured(&folder, "listen: [\n"), &["hark.yaml"]);
}

#[test]
fn no_such_file() {
    let _turn = Turn::take();
    let folder = folder();
    let mut command = agent::command(&folder, names::free_address(), &[]);
    command
        .arg("--config")
        .arg(folder.path().join("missing.yaml"));
    expect_refusal(command, &["missing.yaml"]);
}

#[test]
fn bad_variables() {
    let _turn = Turn::take();
    let folder = folder();
    let address = names::free_address();
    let command = agent::command(&folder, address, &[("HARK_METRICS_MAX_SERIES", "-1")]);
    expect_refusal(command, &["HARK_METRICS_MAX_SERIES", "-1"]);
    let command = agent::command(&folder, address, &[("HARK_LISSTEN", "127.0.0.1:1")]);
    expect_refusal(command, &["HARK_LISSTEN", "HARK_LISTEN"]);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon");
    let command = agent::command(&folder, address, &[endpoint, protocol]);
    expect_refusal(command, &["OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon"]);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url");
    let command = agent::command(&folder, address, &[endpoint]);
    expect_refusal(command, &["OTEL_EXPORTER_OTLP_ENDPOINT"]);
}

#[test]
fn a_port_in_use() {
    need!(agent::root());
    let _turn = Turn::take();
    let folder = folder();
    let listener = agent::taken_port();
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    let command = agent::command(&folder, address, &[]);
    expect_refusal(command, &[&address.to_string(), "in use"]);
}

#[test]
fn a_second_agent() {
    need!(agent::root());
    let first = Agent::start(&[]);
    let mut command = Command::new(tools::hark());
    command
        .arg("run")
        .env_remove("HARK_BIN")
        .env("HARK_RUN_DIR", first.run_dir())
        .env("HARK_LISTEN", names::free_address().to_string());
    expect_refusal(command, &[&first.process().id().to_string()]);
    // The first goes on as if nothing had been.
    first.barrier();
}

#[test]
fn no_capability() {
    need!(agent::root());
    let folder = folder();
    let mut command = need!(tools::hark_of_nobody(folder.path(), &[]));
    let _turn = Turn::take();
    command
        .arg("run")
        .env_remove("HARK_BIN")
        .env("HARK_RUN_DIR", folder.path())
        .env("HARK_LISTEN", names::free_address().to_string());
    expect_refusal(command, &["CAP_BPF"]);
}

/// A mistake on the command line is the user's, and says how it should be.
#[test]
fn unknown_commands_and_options() {
    for arguments in [&["jump"][..], &["run", "--fast"], &["run", "extra"], &[]] {
        let mut command = Command::new(tools::hark());
        command.args(arguments);
        let (status, _, stderr) = Process::finish(command, Duration::from_secs(20));
        assert_eq!(status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("Usage: hark"), "{arguments:?}: {stderr}");
    }
}
