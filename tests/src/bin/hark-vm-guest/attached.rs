//! What the agent is attached to, compared with what the kernel has and what it says it runs.

use std::collections::BTreeMap;
use std::process::Command;

use aya::programs::ProgramInfo;
use hark_tests::agent::Agent;
use hark_tests::process::Process;
use hark_tests::{bpf, http, tools};
use serde_json::Value;

use crate::PATIENCE;

/// The tracepoints that messages are heard by.
pub(crate) const NEEDED: [&str; 2] = ["sock_send_length", "sock_recv_length"];
/// Functions that stand in for them; the helper without which the programs cannot run is `LOOP`.
const FALLBACK: [&str; 2] = ["inet_sendmsg", "inet_recvmsg"];
const LOOP: &str = "BPF_FUNC_loop";

/// The places where this kernel lets messages be heard, if it does.
pub(crate) fn heard_at() -> Option<[&'static str; 2]> {
    let types = types();
    if NEEDED.iter().all(|name| has_tracepoint(&types, name)) {
        Some(NEEDED)
    } else if FALLBACK
        .iter()
        .chain([&LOOP])
        .all(|name| names(&types, name))
    {
        Some(FALLBACK)
    } else {
        None
    }
}

/// Tracepoints that this kernel has, and that the agent does not listen at for a reason: the memory
/// that it needs in the scheduler came with Linux 6.4.
pub(crate) fn left_alone() -> &'static [&'static str] {
    if crate::machine::version() < (6, 4) {
        &["sched_switch"]
    } else {
        &[]
    }
}

/// The kernel's type information, which has a type for each tracepoint.
fn types() -> Vec<u8> {
    std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default()
}

fn has_tracepoint(types: &[u8], name: &str) -> bool {
    names(types, &format!("btf_trace_{name}"))
}

/// Whether a type, a value or a function has this name.
fn names(types: &[u8], name: &str) -> bool {
    let name = format!("\0{name}\0");
    types
        .windows(name.len())
        .any(|window| window == name.as_bytes())
}

/// Each hook of `/readyz`: its name, and why it is not attached.
fn ready(agent: &Agent) -> Vec<(String, Option<String>)> {
    let page = http::get(agent.address(), "/readyz", "*/*").expect("the agent serves");
    assert_eq!(page.status, 200, "{}", page.body);
    let report: Value = serde_json::from_str(&page.body).expect("JSON");
    let hooks = report["hooks"].as_array().expect("a list of hooks");
    hooks
        .iter()
        .map(|hook| {
            let name = hook["name"].as_str().expect("a name").to_owned();
            let attached = hook["attached"].as_bool().expect("attached or not");
            let why = hook["detail"].as_str().unwrap_or("without a reason");
            (name, (!attached).then(|| why.to_owned()))
        })
        .collect()
}

/// All hooks for which this kernel has a tracepoint are attached, and the kernel says that so many
/// programs are held by the agent.
pub(crate) fn hooks(agent: &Agent) -> String {
    let hooks = ready(agent);
    let types = types();
    let refused: Vec<_> = hooks
        .iter()
        .filter(|(name, why)| why.is_some() && has_tracepoint(&types, name))
        .filter(|(name, _)| !left_alone().contains(&name.as_str()))
        .collect();
    assert!(refused.is_empty(), "not attached: {refused:?}");
    let attached = hooks.iter().filter(|(_, why)| why.is_none()).count();
    let held = bpf::programs_of(agent.process().id()).len();
    assert_eq!(attached, held, "(attached by /readyz, held by the kernel)");
    let mut result = format!("{attached} of {}", hooks.len());
    for (name, _) in hooks.iter().filter(|(_, why)| why.is_some()) {
        result += &format!(", no {name}");
    }
    result
}

/// The agent's programs by name, with the number of instructions that the verifier went through:
/// its work, on every path, and not the program's length.
pub(crate) fn programs(agent: &Agent) -> Vec<(String, u32)> {
    // The kernel keeps 15 characters of a program's name.
    let whole: BTreeMap<String, String> = ready(agent)
        .into_iter()
        .map(|(name, _)| (name.chars().take(15).collect(), name))
        .collect();
    let held = bpf::programs_of(agent.process().id());
    let mut programs: Vec<ProgramInfo> = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| held.contains(&program.id()))
        .collect();
    programs.sort_by_key(ProgramInfo::id);
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    programs
        .iter()
        .map(|program| {
            let short = program.name_as_str().unwrap_or("?");
            let name = whole.get(short).map_or(short, String::as_str);
            let nth = seen.entry(name.to_owned()).or_default();
            *nth += 1;
            // Two objects may listen at one place.
            let name = match *nth {
                1 => name.to_owned(),
                nth => format!("{name}#{nth}"),
            };
            (name, program.verified_instruction_count().unwrap_or(0))
        })
        .collect()
}

/// `hark doctor` ends with this status and says what the hooks are.
pub(crate) fn doctor(status: i32) -> String {
    let mut command = Command::new(tools::hark());
    command.args(["doctor", "--json"]);
    let (ended, json, errors) = Process::finish(command, PATIENCE);
    assert_eq!(ended.code(), Some(status), "{json}\n{errors}");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let findings = report["findings"].as_array().expect("a list of findings");
    for name in heard_at().unwrap_or(NEEDED) {
        assert!(
            findings.iter().any(|finding| finding["name"] == name),
            "nothing about {name} in {json}"
        );
    }
    let of = |state: &str| findings.iter().filter(|f| f["state"] == state).count();
    let state = report["state"].as_str().expect("a state");
    format!("{state}: {} of {}", of("works"), findings.len())
}
