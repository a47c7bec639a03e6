//! `hark doctor`: what works on this host, what does not, why, and what is lost by it.
//!
//! Here is the form of the answer: findings, as lines for people or as JSON, and the exit status.
//! Who looks at the host puts its findings into a [`Report`].

mod examine;
mod instrumented;

pub use examine::examine;

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::top::text::clean;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Works,
    /// It does not, and the agent goes on without what it is for.
    Degraded,
    /// It does not, and the agent cannot do what it was asked to do.
    Fails,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Works => "ok",
            Self::Degraded => "degraded",
            Self::Fails => "FAILS",
        }
    }
}

/// One hook, capability, or other thing that the agent needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The group it is shown in, such as `hooks` or `capabilities`.
    pub group: &'static str,
    /// Its name, such as `sock_send_length` or `CAP_BPF`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found, or why it does not work; one sentence without a full stop.
    pub detail: String,
    /// What the user loses by it; `None` where it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// What the user can do about it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Something that works.
    #[must_use]
    pub fn works(group: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            group,
            name: name.into(),
            state: State::Works,
            detail: detail.into(),
            lost: None,
            remedy: None,
        }
    }

    /// Something that does not work: why, and what is lost by it.
    #[must_use]
    pub fn broken(
        group: &'static str,
        name: impl Into<String>,
        state: State,
        detail: impl Into<String>,
        lost: impl Into<String>,
    ) -> Self {
        Self {
            state,
            lost: Some(lost.into()),
            ..Self::works(group, name, detail)
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Everything that was found, in the order in which it is shown; a group's findings together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of all states.
    #[must_use]
    pub fn state(&self) -> State {
        self.findings
            .iter()
            .map(|finding| finding.state)
            .max_by_key(|state| match state {
                State::Works => 0,
                State::Degraded => 1,
                State::Fails => 2,
            })
            .unwrap_or(State::Works)
    }

    /// Success if the agent can do all that it was asked to do; what is merely degraded is said,
    /// not punished.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.state() {
            State::Works | State::Degraded => ExitCode::SUCCESS,
            State::Fails => ExitCode::FAILURE,
        }
    }

    /// Lines for people: one per finding, and below it what is lost and what to do.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = self
            .findings
            .iter()
            .map(|finding| finding.name.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        let mut group = None;
        for finding in &self.findings {
            if group != Some(finding.group) {
                if group.is_some() {
                    text.push('\n');
                }
                let _ = writeln!(text, "{}", finding.group);
                group = Some(finding.group);
            }
            let state = finding.state.word();
            let line = format!("  {state:<8}  {:<width$}  {}", finding.name, finding.detail);
            // Names are those of processes and services, which may be called anything.
            let _ = writeln!(text, "{}", clean(line.trim_end()));
            for (label, note) in [("lost", &finding.lost), ("do", &finding.remedy)] {
                if let Some(note) = note {
                    let _ = writeln!(text, "            {:width$}  {label}: {note}", "");
                }
            }
        }
        let count = |state| {
            self.findings
                .iter()
                .filter(|finding| finding.state == state)
                .count()
        };
        let _ = writeln!(
            text,
            "\n{} ok, {} degraded, {} failing",
            count(State::Works),
            count(State::Degraded),
            count(State::Fails)
        );
        text
    }

    /// One JSON object with the overall state and the findings, and a line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let value = serde_json::json!({
            "state": self.state(),
            "findings": self.findings,
        });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            findings: vec![
                Finding::works("capabilities", "CAP_BPF", "held"),
                Finding::works("hooks", "sock_send_length", ""),
                Finding::broken(
                    "hooks",
                    "sk_data_ready",
                    State::Degraded,
                    "this kernel's BTF has no such tracepoint",
                    "how long a request waited before the application read it",
                )
                .remedy("run on Linux 6.3 or later"),
            ],
        }
    }

    #[test]
    fn text() {
        assert_eq!(
            report().to_text(),
            "capabilities
  ok        CAP_BPF           held

hooks
  ok        sock_send_length
  degraded  sk_data_ready     this kernel's BTF has no such tracepoint
                              lost: how long a request waited before the application read it
                              do: run on Linux 6.3 or later

2 ok, 1 degraded, 0 failing
"
        );
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(value["state"], "degraded");
        assert_eq!(
            value["findings"][0],
            serde_json::json!({
                "group": "capabilities",
                "name": "CAP_BPF",
                "state": "works",
                "detail": "held",
            })
        );
        assert_eq!(value["findings"][2]["remedy"], "run on Linux 6.3 or later");
        assert_eq!(value["findings"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn the_worst_decides() {
        let mut report = report();
        assert_eq!(report.state(), State::Degraded);
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.findings.push(Finding::broken(
            "capabilities",
            "CAP_PERFMON",
            State::Fails,
            "not held",
            "everything",
        ));
        assert_eq!(report.state(), State::Fails);
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
        assert_eq!(Report::default().state(), State::Works);
    }
}
