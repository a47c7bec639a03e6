//! What an exchange costs in the agent's user space: `agent/examples/pipeline_cost.rs` and
//! `agent/examples/http2_cost.rs`, run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::child::{Interrupt, Running};
use super::figure::{Budget, Figure};
use crate::process;
use crate::workspace::Workspace;

const EXCHANGES: &str = "pipeline_cost";
const CALLS: &str = "http2_cost";

/// Where the examples are.
pub(super) struct Examples {
    exchanges: PathBuf,
    calls: PathBuf,
}

/// Builds the examples and says where they are.
pub(super) fn build(workspace: &Workspace) -> Result<Examples> {
    build_by(workspace.cargo(), &workspace.target.join("release"))
}

/// As [`build`], of the tree that `cargo` is run in, which puts them below `release`.
pub(super) fn build_by(mut cargo: Command, release: &Path) -> Result<Examples> {
    process::step("replay benchmark");
    process::run(cargo.args([
        "build",
        "--release",
        "--package",
        "hark",
        "--example",
        EXCHANGES,
        "--example",
        CALLS,
    ]))
    .context("cannot build the replay benchmark")?;
    let folder = release.join("examples");
    Ok(Examples {
        exchanges: folder.join(EXCHANGES),
        calls: folder.join(CALLS),
    })
}

/// Its figures.
pub(super) fn measure(examples: &Examples, interrupt: &Interrupt) -> Result<Vec<Figure>> {
    process::step("user space, from replay");
    let run = |program: &PathBuf| {
        let running = Running::start(&mut Command::new(program))?;
        running.finish(interrupt, Duration::from_secs(60))
    };
    let mut all = figures(&run(&examples.exchanges)?, OF_EXCHANGES)?;
    all.extend(figures(&run(&examples.calls)?, OF_CALLS)?);
    all.extend(instructions(&examples.exchanges, interrupt)?);
    Ok(all)
}

/// Exchanges of a round under callgrind, which is fifty times slower.
const COUNTED: u32 = 5000;
/// Rounds there.
const ROUNDS: u32 = 2;

/// Instructions per exchange, as callgrind counts them: they repeat to a thousandth on any machine, however
/// busy. None where there is no valgrind, and of a revision whose benchmark cannot be asked for them.
fn instructions(program: &Path, interrupt: &Interrupt) -> Result<Vec<Figure>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("bench: no instructions are counted: valgrind is not installed");
        return Ok(Vec::new());
    }
    let mut counted = Vec::new();
    for (only, what) in [
        ("histogram", "record to histogram"),
        ("span", "record to histogram and span offered"),
    ] {
        interrupt.check()?;
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(format!("--toggle-collect={EXCHANGES}::replay"))
            .arg(program)
            .args([&COUNTED.to_string(), &ROUNDS.to_string(), only]);
        let said = Running::start(&mut valgrind)?.finish(interrupt, Duration::from_secs(120));
        match said.map(|said| collected(&said)) {
            Ok(Some(all)) => {
                let name = format!("instructions, replay: {what}");
                let each = all / f64::from(COUNTED * ROUNDS);
                counted.push(Figure::new(name, "1/exchange", Budget::None).with([each]));
            }
            Ok(None) => eprintln!("bench: no instructions are counted: {what}"),
            Err(error) => eprintln!("bench: no instructions are counted: {error:#}"),
        }
    }
    Ok(counted)
}

/// What callgrind says at its end, if it has counted anything.
fn collected(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))?;
    let count: f64 = line.1.trim().parse().ok()?;
    (count > 0.0).then_some(count)
}

/// Where in a report values are, and what they are.
type Row = (&'static str, &'static str, &'static str, Budget);

/// Those of HTTP/1.
const OF_EXCHANGES: &[Row] = &[
    (
        "/to_histogram_ns",
        "user space, replay: record to histogram",
        "ns/exchange",
        Budget::None,
    ),
    (
        "/to_histogram_and_span_ns",
        "user space, replay: record to histogram and span offered",
        "ns/exchange",
        Budget::AtMost(2000.0),
    ),
    (
        "/everything_ns",
        "user space, replay: the same, and in the request log",
        "ns/exchange",
        Budget::None,
    ),
    (
        "/one_percent_ns",
        "user space, replay: record to histogram, one span in a hundred kept",
        "ns/exchange",
        Budget::None,
    ),
    (
        "/spans_under_way_bytes",
        "memory of spans under way, at 50,000 exchanges a second",
        "bytes",
        Budget::None,
    ),
];

/// Those of HTTP/2: a call, and header blocks beside other decoders.
const OF_CALLS: &[Row] = &[
    (
        "/to_histogram_ns",
        "user space, gRPC: records to histogram",
        "ns/call",
        Budget::None,
    ),
    (
        "/block_of_references_ns/hark",
        "header block of references",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_references_ns/loona_hpack",
        "  the same, by loona-hpack",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_references_ns/fluke_hpack",
        "  the same, by fluke-hpack",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_references_ns/httlib_hpack",
        "  the same, by httlib-hpack",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_literals_ns/hark",
        "header block of literals in Huffman code",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_literals_ns/loona_hpack",
        "  the same, by loona-hpack",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_literals_ns/fluke_hpack",
        "  the same, by fluke-hpack",
        "ns/block",
        Budget::None,
    ),
    (
        "/block_of_literals_ns/httlib_hpack",
        "  the same, by httlib-hpack",
        "ns/block",
        Budget::None,
    ),
];

fn figures(report: &str, rows: &[Row]) -> Result<Vec<Figure>> {
    let report: Value =
        serde_json::from_str(report).context("the replay benchmark printed no JSON")?;
    rows.iter()
        .map(|(at, name, unit, budget)| {
            let values = report.pointer(at).and_then(Value::as_array);
            let values = values.and_then(|values| values.iter().map(Value::as_f64).collect());
            let values: Vec<f64> = values
                .with_context(|| format!("the replay benchmark printed no numbers at {at}"))?;
            Ok(Figure::new(*name, unit, *budget).with(values))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_is_a_value() {
        let report = r#"{"to_histogram_ns":[1.0,2.5],"to_histogram_and_span_ns":[3],
            "everything_ns":[4],"one_percent_ns":[5],"spans_under_way_bytes":[6]}"#;
        let figures = figures(report, OF_EXCHANGES).unwrap();
        let values: Vec<_> = figures.iter().map(|figure| &figure.values[..]).collect();
        let expected: [&[f64]; 5] = [&[1.0, 2.5], &[3.0], &[4.0], &[5.0], &[6.0]];
        assert_eq!(values, expected);
    }

    #[test]
    fn calls_and_blocks_are_values() {
        let blocks =
            r#"{"hark":[4.0],"loona_hpack":[9.0],"fluke_hpack":[8.0],"httlib_hpack":[7.0]}"#;
        let report = format!(
            r#"{{"to_histogram_ns":[1.5],"block_of_references_ns":{blocks},"block_of_literals_ns":{blocks}}}"#
        );
        let figures = figures(&report, OF_CALLS).unwrap();
        let values: Vec<_> = figures.iter().map(|figure| figure.values[0]).collect();
        assert_eq!(values, [1.5, 4.0, 9.0, 8.0, 7.0, 4.0, 9.0, 8.0, 7.0]);
        assert!(super::figures("{}", OF_CALLS).is_err());
    }

    #[test]
    fn instructions_are_read_from_what_callgrind_says() {
        let said = "==1== Events    : Ir\n==1== Collected : 119178345\n==1== \n";
        assert_eq!(collected(said), Some(119_178_345.0));
        assert_eq!(collected("==1== Collected : 0\n"), None);
        assert_eq!(collected("valgrind: bad executable\n"), None);
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        for report in [
            "",
            "{}",
            r#"{"to_histogram_ns":["x"],"to_histogram_and_span_ns":[1]}"#,
        ] {
            assert!(figures(report, OF_EXCHANGES).is_err(), "{report}");
        }
    }
}
