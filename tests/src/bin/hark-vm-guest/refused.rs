//! A kernel that is too old: the agent says so in one sentence, and does not pretend to run.

use hark_tests::process::Process;
use hark_tests::{agent, names};

use crate::PATIENCE;
use crate::attached::{self, NEEDED};
use crate::report::Report;

/// Starts the agent, which must end with a reason.
pub(crate) fn check(report: &mut Report) {
    report.check("refusal", || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let command = agent::command(&folder, names::free_address(), &[]);
        let (status, _, errors) = Process::finish(command, PATIENCE);
        assert_eq!(status.code(), Some(1), "{errors}");
        let said = errors.trim();
        let said = said.strip_prefix("hark: ").unwrap_or(said);
        assert!(!said.contains('\n'), "more than one line: {said}");
        assert!(
            NEEDED.iter().any(|name| said.contains(name)),
            "no tracepoint is named: {said}"
        );
        said.to_owned()
    });
    report.check("doctor", || attached::doctor(1));
}
