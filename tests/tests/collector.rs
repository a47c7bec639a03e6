//! The Collector's configurations in `deploy/collector`: YAML whose parts fit together. The Collector
//! itself says the rest, where there is one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hark_tests::process::Process;
use hark_tests::{need, tools};
use serde_json::{Map, Value};

/// Components that the Collector's `contrib` distribution has, of those that are used.
const KNOWN: [(&str, &[&str]); 3] = [
    ("receivers", &["otlp"]),
    ("processors", &["memory_limiter", "tail_sampling", "batch"]),
    ("exporters", &["otlp", "loadbalancing"]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/collector")
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).expect("a file of the repository");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All configurations, by name.
fn all() -> Vec<(String, Value)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["load-balancing.yaml", "single.yaml", "tail-sampling.yaml"]
    );
    names
        .into_iter()
        .map(|name| {
            let config = read(&name);
            (name, config)
        })
        .collect()
}

fn map<'a>(value: &'a Value, what: &str) -> &'a Map<String, Value> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("{what}: {value}"))
}

fn keys(value: &Value, what: &str) -> BTreeSet<String> {
    map(value, what).keys().cloned().collect()
}

#[test]
fn what_pipelines_name_is_defined_and_the_other_way_round() {
    for (name, config) in all() {
        let sections: BTreeSet<String> = keys(&config, &name);
        let expected = ["receivers", "processors", "exporters", "service"];
        assert_eq!(sections, expected.map(str::to_owned).into(), "{name}");
        for (section, known) in KNOWN {
            let defined = keys(&config[section], section);
            for component in &defined {
                let kind = component.split('/').next().unwrap_or_default();
                assert!(known.contains(&kind), "{name}: {section}: {component}");
            }
            let mut used = BTreeSet::new();
            for (pipeline, parts) in map(&config["service"]["pipelines"], "pipelines") {
                assert!(
                    ["traces", "logs"].contains(&pipeline.as_str()),
                    "{pipeline}"
                );
                let parts = parts[section].as_array().expect("a list");
                assert!(!parts.is_empty(), "{name}: {pipeline} has no {section}");
                used.extend(
                    parts
                        .iter()
                        .map(|part| part.as_str().expect("a name").to_owned()),
                );
            }
            assert_eq!(defined, used, "{name}: {section}");
        }
    }
}

/// Memory is limited first, whole traces are sampled before they are put into batches.
#[test]
fn processors_are_in_the_order_that_they_need() {
    for (name, config) in all() {
        for (pipeline, parts) in map(&config["service"]["pipelines"], "pipelines") {
            let order = ["memory_limiter", "tail_sampling", "batch"];
            let places: Vec<usize> = parts["processors"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|part| order.iter().position(|known| part == known).expect("known"))
                .collect();
            assert_eq!(places.first(), Some(&0), "{name}: {pipeline}");
            assert!(places.is_sorted(), "{name}: {pipeline}");
        }
    }
}

#[test]
fn policies_are_whole_and_the_same_in_both() {
    let sampling = |name: &str| read(name)["processors"]["tail_sampling"].clone();
    let single = sampling("single.yaml");
    assert_eq!(single, sampling("tail-sampling.yaml"));
    let policies = single["policies"].as_array().expect("a list").clone();
    let kinds: Vec<&str> = policies
        .iter()
        .map(|policy| {
            let kind = policy["type"].as_str().expect("a type");
            let expected = ["name", "type", kind].map(str::to_owned).into();
            assert_eq!(
                keys(policy, "a policy"),
                expected,
                "each has its own section"
            );
            kind
        })
        .collect();
    assert_eq!(kinds, ["status_code", "latency", "probabilistic"]);
    // A batch of spans leaves hark after five seconds at the latest.
    assert_eq!(single["decision_wait"], "15s");
}

#[test]
fn the_first_tier_sends_traces_where_the_second_listens() {
    let first = read("load-balancing.yaml");
    let second = read("tail-sampling.yaml");
    let balancing = &first["exporters"]["loadbalancing"];
    assert_eq!(balancing["routing_key"], "traceID");
    assert_eq!(
        first["service"]["pipelines"]["traces"]["exporters"],
        serde_json::json!(["loadbalancing"])
    );
    let resolvers = keys(&balancing["resolver"], "resolver");
    assert_eq!(resolvers.len(), 1, "the exporter takes one resolver only");
    let port = balancing["resolver"]["dns"]["port"].as_str().expect("text");
    let listens = second["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
        .as_str()
        .expect("an address");
    assert_eq!(listens.rsplit(':').next(), Some(port));
}

/// Where hark is told to send to is where each first Collector listens.
#[test]
fn the_ports_are_those_that_the_daemonset_sends_to() {
    for name in ["single.yaml", "load-balancing.yaml"] {
        let protocols = &read(name)["receivers"]["otlp"]["protocols"];
        assert_eq!(protocols["http"]["endpoint"], "0.0.0.0:4318", "{name}");
        assert_eq!(protocols["grpc"]["endpoint"], "0.0.0.0:4317", "{name}");
    }
    let daemonset = folder().join("../kubernetes/daemonset.yaml");
    let daemonset = std::fs::read_to_string(daemonset).expect("a file of the repository");
    assert!(daemonset.contains("http://$(HOST_IP):4318"));
}

#[test]
fn the_collector_finds_nothing_to_complain_of() {
    let collector = need!(tools::find("otelcol-contrib"));
    for (name, _) in all() {
        let mut command = Command::new(&collector);
        command
            .arg("validate")
            .arg(format!("--config={}", folder().join(&name).display()))
            .env("BACKEND", "127.0.0.1:4317");
        let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(60));
        assert!(status.success(), "{name}: {stdout}{stderr}");
    }
}
