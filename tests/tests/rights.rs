//! An agent with named capabilities only, as somebody who is not root: the list of the systemd unit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::{need, tools};

/// `AmbientCapabilities` of the unit, without `CAP_`, in lower case.
fn granted() -> Vec<String> {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/hark.service");
    let unit = std::fs::read_to_string(unit).expect("the unit is part of the repository");
    let list = unit
        .lines()
        .find_map(|line| line.strip_prefix("AmbientCapabilities="))
        .expect("it names capabilities");
    list.split(' ')
        .map(|name| name.trim_start_matches("CAP_").to_lowercase())
        .collect()
}

/// The command, by `nobody` with these capabilities and no way to more.
fn confined(folder: &Path, command: &Command, capabilities: &[String]) -> Command {
    let list = capabilities
        .iter()
        .fold("-all".to_owned(), |list, name| list + ",+" + name);
    let privileges = [
        "--no-new-privs",
        "--inh-caps",
        &list,
        "--ambient-caps",
        &list,
        "--bounding-set",
        &list,
    ];
    let confined = tools::hark_of_nobody(folder, &privileges);
    let mut confined = confined.expect("setpriv was looked for");
    confined.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    confined
}

#[test]
fn the_units_capabilities_are_enough() {
    need!(agent::root());
    need!(tools::find("setpriv").map(drop));
    let agent = Agent::start_by(&[("HARK_CAPTURE_TLS", "true")], |folder, command| {
        confined(folder, &command, &granted())
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.process().id()));
    let status = status.expect("the agent lives");
    assert!(
        status
            .lines()
            .any(|line| line.starts_with("Uid:\t65534\t65534"))
    );
    for server in [
        need!(Server::python("rights")),
        need!(Server::python_unix("rights-unix")),
        need!(Server::go("rights-go")),
    ] {
        let requests = vec![Request::get("/ok"), Request::get("/status/503")];
        let sent = Plan::new(&server.target, requests)
            .connections(4)
            .rounds(50)
            .run();
        // By names that only the environment of other users' processes tells.
        agent.expect_served(&server.service, &sent.counts());
        agent.expect_sent(&sent.service, &sent.counts());
    }
    assert_eq!(agent.lost(), 0);
    let page = agent.page();
    let groups = page.by("hark_collector_success", "collector", &[]);
    assert!(
        !groups.is_empty() && groups.values().all(|success| *success == 1),
        "{groups:?}"
    );
}

/// The effective and permitted capabilities of each thread, by its name.
fn threads(process: u32) -> BTreeMap<String, BTreeSet<[u64; 2]>> {
    let mut threads: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task")).expect("the agent lives") {
        let path = task.expect("a thread").path().join("status");
        let status = std::fs::read_to_string(path).expect("no thread ends");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the kernel tells it").trim().to_owned()
        };
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("CapInh:"), "0000000000000000");
        assert_eq!(field("CapAmb:"), "0000000000000000");
        let set = |name| u64::from_str_radix(&field(name), 16).expect("a number");
        let sets = [set("CapEff:"), set("CapPrm:")];
        threads.entry(field("Name:")).or_default().insert(sets);
    }
    threads
}

/// By root, whose threads have all capabilities until they give them up. The numbers are those of
/// `linux/capability.h`.
#[test]
fn what_is_not_needed_is_given_up() {
    need!(agent::root());
    const DAC_OVERRIDE: u64 = 1 << 1;
    const DAC_READ_SEARCH: u64 = 1 << 2;
    const SYS_PTRACE: u64 = 1 << 19;
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("requests.log");
    let agent = Agent::start(&[
        ("HARK_CAPTURE_TLS", "true"),
        ("HARK_REQUEST_LOG_OUTPUT", "file"),
        ("HARK_REQUEST_LOG_PATH", &log.to_string_lossy()),
    ]);
    let found = threads(agent.process().id());
    let only = |set: u64| BTreeSet::from([[set, set]]);
    let collects = BPF | PERFMON | SYS_ADMIN | SYS_PTRACE | DAC_READ_SEARCH;
    for (name, sets) in &found {
        let want = match name.as_str() {
            "hark-io" => only(BPF),
            "hark-log" => only(DAC_OVERRIDE),
            _ => only(collects),
        };
        assert_eq!(sets, &want, "{name}: {sets:x?}");
    }
    for name in ["hark", "hark-io", "hark-log", "hark-pipeline", "hark-tls"] {
        assert!(found.contains_key(name), "no {name} among {found:x?}");
    }
}

/// Without one that it cannot do without, it says so in a sentence, and ends.
#[test]
fn what_is_missing_is_named() {
    need!(agent::root());
    need!(tools::find("setpriv").map(drop));
    for missing in ["bpf", "perfmon"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let some: Vec<_> = granted()
            .into_iter()
            .filter(|name| name != missing)
            .collect();
        let address = hark_tests::names::free_address();
        let command = confined(folder.path(), &agent::command(&folder, address, &[]), &some);
        let (status, _, said) = Process::finish(command, Duration::from_secs(30));
        assert!(!status.success(), "without {missing}");
        assert!(
            said.contains("CAP_BPF and CAP_PERFMON"),
            "without {missing}: {said}"
        );
    }
}
