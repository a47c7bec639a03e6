//! What an exchange costs in the agent's user space: `agent/examples/pipeline_cost.rs`, run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::child::{Interrupt, Running};
use super::figure::{Budget, Figure};
use crate::process;
use crate::workspace::Workspace;

const EXAMPLE: &str = "pipeline_cost";

/// Builds the example and says where it is.
pub(super) fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::step("replay benchmark");
    process::run(workspace.cargo().args([
        "build",
        "--release",
        "--package",
        "hark",
        "--example",
        EXAMPLE,
    ]))
    .context("cannot build the replay benchmark")?;
    Ok(workspace.target.join("release/examples").join(EXAMPLE))
}

/// Its figures.
pub(super) fn measure(program: &PathBuf, interrupt: &Interrupt) -> Result<Vec<Figure>> {
    process::step("user space, from replay");
    let running = Running::start(&mut Command::new(program))?;
    figures(&running.finish(interrupt, Duration::from_secs(60))?)
}

fn figures(report: &str) -> Result<Vec<Figure>> {
    let report: Value =
        serde_json::from_str(report).context("the replay benchmark printed no JSON")?;
    let values = |key: &str| {
        let values = report[key].as_array().and_then(|values| {
            values
                .iter()
                .map(Value::as_f64)
                .collect::<Option<Vec<f64>>>()
        });
        values.with_context(|| format!("the replay benchmark printed no numbers as `{key}`"))
    };
    Ok(vec![
        Figure::new(
            "user space, replay: record to histogram",
            "ns/exchange",
            Budget::None,
        )
        .with(values("to_histogram_ns")?),
        Figure::new(
            "user space, replay: record to histogram and span offered",
            "ns/exchange",
            Budget::AtMost(2000.0),
        )
        .with(values("to_histogram_and_span_ns")?),
        Figure::new(
            "user space, replay: the same, and in the request log",
            "ns/exchange",
            Budget::None,
        )
        .with(values("everything_ns")?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_is_a_value() {
        let report =
            r#"{"to_histogram_ns":[1.0,2.5],"to_histogram_and_span_ns":[3],"everything_ns":[4]}"#;
        let figures = figures(report).unwrap();
        let values: Vec<_> = figures.iter().map(|figure| &figure.values[..]).collect();
        assert_eq!(values, [&[1.0, 2.5][..], &[3.0][..], &[4.0][..]]);
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        for report in [
            "",
            "{}",
            r#"{"to_histogram_ns":["x"],"to_histogram_and_span_ns":[1]}"#,
        ] {
            assert!(figures(report).is_err(), "{report}");
        }
    }
}
