//! `hark doctor` says what works here, and what does not and why.

use std::process::Command;

use hark_tests::agent::doctor;
use hark_tests::{agent, need, tools};

#[test]
fn all_is_well_for_root() {
    need!(agent::root());
    let (status, text) = doctor(Command::new(tools::hark()), &[]);
    assert_eq!(status, Some(0), "{text}");
    for hook in [
        "sock_send_length",
        "sock_recv_length",
        "inet_sock_set_state",
    ] {
        assert!(text.contains(hook), "{hook} is missing from\n{text}");
    }
    let (status, json) = doctor(Command::new(tools::hark()), &["--json"]);
    assert_eq!(status, Some(0), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON value");
    assert!(json.is_object(), "{json}");
    assert!(json.to_string().contains("sock_send_length"), "{json}");
}

#[test]
fn nobody_is_told_what_is_missing() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = need!(tools::hark_of_nobody(folder.path(), &[]));
    let (status, text) = doctor(command, &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("CAP_BPF"), "{text}");
}
