//! The groups of resource metrics as a whole: the reference, the switches, and what does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::metrics::counts;
use hark_tests::server::Server;
use hark_tests::{bpf, http, need, reference};

/// Each group: its switch, its collector, its section in the reference.
const GROUPS: [(&str, &str, &str); 4] = [
    ("HARK_RESOURCES_CPU", "cpu", "CPU"),
    ("HARK_RESOURCES_MEMORY", "memory", "Memory"),
    ("HARK_RESOURCES_DISK", "disk", "Disk"),
    ("HARK_RESOURCES_NETWORK", "network", "Network"),
];

/// The families on a page: type and labels, by name.
fn families(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families: BTreeMap<String, (String, BTreeSet<String>)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new())))
        .collect();
    for sample in hark_tests::metrics::Page::parse(page)
        .expect("the text format")
        .0
    {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| sample.name.strip_suffix(suffix))
            .filter(|name| families.contains_key(*name));
        let name = of_histogram.unwrap_or(&sample.name).to_owned();
        let (_, labels) = families
            .get_mut(&name)
            .unwrap_or_else(|| panic!("{name} has no type"));
        labels.extend(sample.labels.into_keys().filter(|label| label != "le"));
    }
    families
}

fn text(agent: &Agent) -> String {
    let page = http::get(agent.address(), "/metrics", "text/plain;version=0.0.4");
    page.expect("the agent serves").body
}

#[test]
fn what_is_on_the_page_is_in_the_reference() {
    need!(agent::root());
    let agent = Agent::start(&[]);
    let server = need!(Server::python("resources-reference"));
    let sent = Plan::new(&server.target, vec![Request::get("/ok")]).run();
    agent.expect_served(&server.service, &sent.counts());
    let reference = reference::read();
    let mut wrong = Vec::new();
    for (name, (kind, labels)) in families(&text(&agent)) {
        match reference.get(&name) {
            None => wrong.push(format!("{name} is not in docs/metrics.md")),
            Some(entry) => {
                if entry.kind != kind {
                    wrong.push(format!("{name} is a {kind}, not a {}", entry.kind));
                }
                let unknown: Vec<_> = labels.difference(&entry.labels).collect();
                if !unknown.is_empty() {
                    wrong.push(format!("{name} has labels {unknown:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_group_succeeds_here() {
    need!(agent::root());
    let page = Agent::start(&[]).page();
    for (_, collector, _) in GROUPS {
        assert_eq!(
            page.total("hark_collector_success", &[("collector", collector)]),
            1,
            "{collector}"
        );
    }
}

/// Whether a page has anything of a section of the reference.
fn has_section(page: &str, section: &str) -> bool {
    let reference = reference::read();
    families(page)
        .keys()
        .any(|name| reference.get(name).is_some_and(|e| e.section == section))
}

#[test]
fn a_group_that_is_off_has_neither_series_nor_hooks() {
    need!(agent::root());
    let all = Agent::start(&[]);
    let with_all = bpf::programs_of(all.process().id()).len();
    let page = text(&all);
    for (_, _, section) in GROUPS {
        assert!(has_section(&page, section), "{section} is on by default");
    }
    let mut turn = all.end(rustix::process::Signal::TERM).2;
    let mut hooks_of_groups = 0;
    for (switch, collector, section) in GROUPS {
        let agent = Agent::start_in_turn(turn, &[(switch, "false")]);
        let page = text(&agent);
        for (_, other, title) in GROUPS {
            assert_eq!(
                has_section(&page, title),
                other != collector,
                "{title}, {switch}"
            );
        }
        let left = bpf::programs_of(agent.process().id()).len();
        hooks_of_groups += with_all - left;
        let server = need!(Server::python("resources-off"));
        let sent = Plan::new(&server.target, vec![Request::get("/ok")]).run();
        agent.expect_served(&server.service, &sent.counts());
        assert_eq!(section.to_lowercase(), collector);
        turn = agent.end(rustix::process::Signal::TERM).2;
    }
    let off: Vec<_> = GROUPS
        .iter()
        .map(|(switch, ..)| (*switch, "false"))
        .collect();
    let agent = Agent::start_in_turn(turn, &off);
    let programs = bpf::programs_of(agent.process().id()).len();
    assert_eq!(programs, with_all - hooks_of_groups, "all off is each off");
    let ready = http::get(agent.address(), "/readyz", "*/*").expect("the agent serves");
    let ready: serde_json::Value = serde_json::from_str(&ready.body).expect("JSON");
    let hooks = ready["hooks"].as_array().expect("a list");
    let names: BTreeSet<&str> = hooks.iter().filter_map(|h| h["name"].as_str()).collect();
    let of_sockets = [
        "sock_send_length",
        "sock_recv_length",
        "inet_sock_set_state",
        "tcp_destroy_sock",
    ];
    assert_eq!(names, BTreeSet::from(of_sockets));
}

/// `/proc`, but for a file that never answers.
fn stuck_proc(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
        let to = folder.path().join(entry.file_name());
        symlink(entry.path(), to).expect("our own folder");
    }
    let path = folder.path().join(file);
    std::fs::remove_file(&path).expect("a link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("our own folder");
    folder
}

#[test]
fn a_file_that_does_not_answer_costs_its_own_group() {
    need!(agent::root());
    let server = need!(Server::python("resources-stuck"));
    // Opening it waits for a writer that never comes.
    let proc = stuck_proc("meminfo");
    let root = proc.path().to_str().expect("UTF-8");
    let agent = Agent::start(&[("HARK_PROC_ROOT", root)]);
    let sent = Plan::new(&server.target, vec![Request::get("/ok")]).run();
    for _ in 0..2 {
        let began = Instant::now();
        let page = agent.page();
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the scrape waits"
        );
        let success = page.by("hark_collector_success", "collector", &[]);
        let want: BTreeMap<String, u64> = GROUPS
            .iter()
            .map(|(_, name, _)| ((*name).to_owned(), u64::from(*name != "memory")))
            .collect();
        assert_eq!(success, want);
    }
    agent.expect_served(&server.service, &sent.counts());
    assert_eq!(sent.counts(), counts(&[("GET", "200", 1)]));
}
