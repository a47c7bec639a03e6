//! `docs/metrics.md`, made from what the agent writes.
//!
//! What the agent says of itself is taken from a page with everything registered as `hark run`
//! registers it and nothing heard yet. The request metrics have no series before the first
//! request: their labels are taken from a page after one. What resources there are depends on the
//! host, so the reference of those is what [`resources::families`] declares; an end-to-end test
//! compares a real page with it. The meaning of a label is in a table here, and is compared with
//! all of these both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hark_common::counter::Counter;

use super::Telemetry;
use super::page::{self, Format};
use super::testing::{page as rendered, parse};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::docs::{REGENERATE, assert_current};
use crate::exchange::{ErrorType, Role, Rpc};
use crate::identity::Service;
use crate::kernel::telemetry::{self as kernel, Source};
use crate::otlp::{Exporter, OtlpConfig};
use crate::pipeline::Pipeline;
use crate::red::Red;
use crate::red::testing::{exchange, service};
use crate::request_log::RequestLog;
use crate::resources;
use crate::rpc::Code;
use crate::service_graph;

/// What a label says.
struct Label {
    name: &'static str,
    about: &'static str,
    /// Its values are a closed list, all of which are on the page from the start.
    is_closed: bool,
}

const fn open(name: &'static str, about: &'static str) -> Label {
    Label {
        name,
        about,
        is_closed: false,
    }
}

const fn closed(name: &'static str, about: &'static str) -> Label {
    Label {
        name,
        about,
        is_closed: true,
    }
}

const LABELS: &[Label] = &[
    open(
        "attribution",
        "Whose the cgroups are: `service` (all processes in it are of one), `shared`, and what was not to be seen.",
    ),
    open(
        "by",
        "Who looked for memory to free: the kernel in the background (`kswapd`) or a task that needed some (`direct`).",
    ),
    open(
        "cause",
        "Who was short of memory: the `host`, or the `cgroup` at its limit.",
    ),
    open(
        "client",
        "The service that sends; of a host that is not this one the address; `other` past the limit.",
    ),
    open(
        "client_service_namespace",
        "Its `service_namespace`. Absent if it has none, or is on another host.",
    ),
    open(
        "connection_type",
        "`virtual_node` if one end is not a process that hark hears on this host. Absent if both are.",
    ),
    open("controller", "The memory controller, as sysfs calls it."),
    open(
        "device",
        "The disk, as the kernel calls it. A request is its disk's, not a partition's.",
    ),
    closed("decision", "Why the span is kept, or why not."),
    open("direction", "The way of the bytes, as the host sees it."),
    open("error", "The kernel's name for it."),
    open(
        "hierarchy",
        "The cgroup hierarchy: `unified` or the controller of version 1.",
    ),
    open(
        "interface",
        "The network interface, as the kernel calls it.",
    ),
    open("kind", "Which kind of error."),
    open("mode", "What the CPU did, by the names of proc_stat(5)."),
    open(
        "operation",
        "What the request asked for: `read`, `write`, `discard`, `flush`, `other`.",
    ),
    open("package", "The physical package of the CPU."),
    open(
        "tasks",
        "`some`: at least one task stood still; `full`: all that were not idle did.",
    ),
    open("arch", "What the agent was compiled for."),
    open("cpu", "Number of the CPU, from 0."),
    open(
        "error_type",
        "Why the request failed: the status (5xx for a server, 4xx and 5xx for a client), or \
         `connection_reset`, `connection_closed` (by the peer), `connection_aborted` (by the \
         process itself), `timeout`, `_OTHER`; of an HTTP/2 stream `stream_reset:CANCEL` (by the \
         peer), `stream_aborted:CANCEL` (by the process itself), with the error code's name behind \
         the colon, `stream_unprocessed` (GOAWAY). For a call, the status. Absent if it did not \
         fail.",
    ),
    closed("field", "The field that could not be read."),
    open("hook", "The kernel program."),
    open(
        "object",
        "The object of kernel programs that it is of, one for each subsystem.",
    ),
    open(
        "http_request_method",
        "The method; `_OTHER` for one that is not among the nine of the convention, `unknown` for \
         one that HTTP/2 sent by reference to a header that was not heard.",
    ),
    open(
        "http_response_status_code",
        "Status of the final response. Absent if none began.",
    ),
    open(
        "http_route",
        "Template of the path: from `routes.templates`, else the path with `{id}` for segments \
         that look like identifiers; `other` past `routes.max_per_service`.",
    ),
    open("collector", "The group of metrics."),
    open(
        "library",
        "The TLS library: `openssl` (and its forks), `gnutls`, `go`; where the connection is not read, by what is \
         known of the process: also `java`, `nss`, …, `unknown`.",
    ),
    open(
        "readable",
        "`true`: hark reads what the library hands over in clear; `false`: nothing was read within five \
         seconds.",
    ),
    closed("limit", "The limit that was reached."),
    open("network_protocol_version", "Version of HTTP."),
    closed("outcome", "How the lookup ended."),
    closed("protocol", "What was recognised."),
    closed("reason", "Why."),
    closed(
        "result",
        "By what rule the parent was found (`headers`, `connection`, `thread`), or why there is none.",
    ),
    closed("role", "The end that was observed."),
    open(
        "rpc_method",
        "`package.Service/Method`; `_OTHER` for what the server does not implement or what is \
         spelled otherwise, `unknown` where it could not be read, `other` past 200 methods per \
         service.",
    ),
    open(
        "rpc_response_status_code",
        "Name of the gRPC status: what was sent, else what stands for it (by HTTP status or HTTP/2 \
         error code); `unknown` where it could not be read.",
    ),
    open("rpc_system_name", "`grpc`."),
    open(
        "server",
        "The service that serves; if it is on another host the name that was asked for, else the \
         address; `other` past the limit.",
    ),
    open(
        "server_service_namespace",
        "Its `service_namespace`. Absent if it has none, or is on another host.",
    ),
    open(
        "server_address",
        "The host that was asked for; `other` past the limit of addresses per service.",
    ),
    open(
        "server_port",
        "The port that was asked for, else the peer's.",
    ),
    open("service_name", "The service that the process is part of."),
    open(
        "service_namespace",
        "`service.namespace` of its OTEL_RESOURCE_ATTRIBUTES. Absent if it has none.",
    ),
    open("url_scheme", "`http`, `https`, `ws`, `wss` or `_OTHER`."),
    open("version", "The agent's version."),
];

/// A family as it is on a page.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    help: String,
    source: &'static str,
    /// Values by label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Reads a page.
fn families(telemetry: &Telemetry) -> BTreeMap<String, Family> {
    let page = rendered(telemetry, Format::Text);
    let mut families = BTreeMap::new();
    let mut help = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap().1;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = Family {
                kind: kind.into(),
                help: help.into(),
                source: "the agent",
                labels: BTreeMap::new(),
            };
            families.insert(name.to_owned(), family);
        }
    }
    for ((name, labels), _) in parse(&page, Format::Text) {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|name| families.contains_key(*name));
        let family = families.get_mut(of_histogram.unwrap_or(&name)).unwrap();
        for (label, value) in labels {
            if label != "le" {
                family.labels.entry(label).or_default().insert(value);
            }
        }
    }
    families
}

/// A kernel side that has counted nothing.
struct Silent;

impl Source for Silent {
    fn counter(&self, _: Counter) -> u64 {
        0
    }

    fn counter_per_cpu(&self, _: Counter) -> Vec<u64> {
        vec![0]
    }

    fn recursion_misses(&self) -> Vec<(&'static str, u64)> {
        vec![("program", 0)]
    }
}

/// What the agent says of itself.
fn itself() -> BTreeMap<String, Family> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Nothing is sent: there is no span.
    let otlp = OtlpConfig::from_env(|name| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://127.0.0.1:4317".into())
    })
    .unwrap()
    .unwrap();
    let exporter = Exporter::start(otlp, runtime.handle()).unwrap();
    let otlp = OtlpConfig::logs_from_env(|name| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://127.0.0.1:4317".into())
    })
    .unwrap()
    .unwrap();
    let logs = Exporter::start(otlp, runtime.handle()).unwrap();
    let mut telemetry = Telemetry::new();
    let config = Config::default();
    let mut pipeline = Pipeline::new(
        &config,
        Clock::new(),
        Some(exporter.clone()),
        &mut telemetry,
    )
    .unwrap();
    let log = RequestLog::start(&config.request_log, Some(logs.clone()));
    pipeline.log_to(log.unwrap().unwrap(), &mut telemetry);
    kernel::register(&Arc::new(Silent), telemetry.registry_mut());
    let families = families(&telemetry);
    runtime.block_on(exporter.shutdown(Duration::from_secs(1)));
    runtime.block_on(logs.shutdown(Duration::from_secs(1)));
    let mut families = families;
    // Described with its labels, in a part of its own.
    families.remove(&crate::tls::connections::CONNECTIONS.stored_name());
    families
}

/// The request metrics, with every label that there is.
fn requests() -> BTreeMap<String, Family> {
    let mut telemetry = Telemetry::new();
    let red = Red::new(&Config::default().metrics);
    red.register(&mut telemetry);
    let service = Arc::new(Service {
        namespace: Some("shop".into()),
        ..Arc::unwrap_or_clone(service("orders", 1))
    });
    for role in [Role::Server, Role::Client] {
        let whole = exchange(role);
        let method = &whole.request.method;
        red.begun(&service, role, method, None);
        red.observe(&whole, &service, Some("/orders/{id}"));
        let mut cut = whole.clone();
        cut.error = Some(ErrorType::ConnectionReset);
        red.observe(&cut, &service, Some("/orders/{id}"));
        red.stream_begun(&service, role, 0, false);
        let mut call = whole.clone();
        call.rpc = Some(Rpc {
            status: Some(Code::Internal),
            sent: Some(1),
            received: Some(1),
        });
        red.observe(&call, &service, None);
    }
    let own = itself();
    let mut families = families(&telemetry);
    families.retain(|name, _| !own.contains_key(name));
    for family in families.values_mut() {
        family.source = "heard on sockets";
    }
    families
}

/// The metrics of a group of resources.
fn declared(families: &[&'static page::Family]) -> BTreeMap<String, Family> {
    let described = families.iter().map(|family| {
        let kind = match family.kind {
            page::Kind::Counter => "counter",
            page::Kind::Gauge => "gauge",
            page::Kind::Histogram => "histogram",
        };
        let labels = family
            .labels
            .iter()
            .map(|label| ((*label).to_owned(), BTreeSet::new()));
        (
            family.stored_name(),
            Family {
                kind: kind.into(),
                help: family.help.into(),
                source: family.source,
                labels: labels.collect(),
            },
        )
    });
    let described: BTreeMap<_, _> = described.collect();
    assert_eq!(
        described.len(),
        families.len(),
        "a family is declared twice"
    );
    described
}

/// What is to be known of all metrics of a group.
fn about_resource(title: &str) -> &'static str {
    match title {
        "CPU" => {
            "`resources.cpu`. Names with `service` are of the processes of a service; what cannot be \
             tied to\none is in the host's metrics only."
        }
        "Memory" => "`resources.memory`.",
        "Disk" => "`resources.disk`. A request is a disk's, whoever partitioned it.",
        "Network" => "`resources.network`.",
        other => panic!("{other} needs a text"),
    }
}

fn page() -> String {
    let mut page = format!(
        "<!-- Generated from agent/src/telemetry/docs.rs by `{REGENERATE}`. -->\n\
         \n\
         # Metrics\n\
         \n\
         All that `/metrics` has, by the names that Prometheus stores. Times are in seconds, sizes\n\
         in bytes. Counters begin at 0 with the agent.\n"
    );
    let own = itself();
    let (process, own): (BTreeMap<_, _>, BTreeMap<_, _>) = own
        .into_iter()
        .partition(|(name, _)| name.starts_with("process_"));
    let mut parts = vec![(
        "Requests",
        "Every request that a process of the host serves (`server`) or sends (`client`). The \
             names,\nlabels and buckets are those of OpenTelemetry's conventions for HTTP and RPC, with .0005, \
             .001 and .0025 s\nas further buckets. A request is counted when it ends. Series of \
             services without a living\nprocess expire (`metrics.expire_after`). In OpenMetrics the buckets of durations have exemplars:\n\
             the newest span in each that the collector has accepted. Past the limit of \
             series (`metrics.max_series`) what\nis new goes to one series with the label \
             `otel_metric_overflow=\"true\"` alone.",
        requests(),
    )];
    parts.push((
        "Service graph",
        "`service_graph.enabled`. Who calls whom, by the names that Tempo and the Collector's connector\n\
         use. Both ends on this host are matched by the addresses of their sockets; an end elsewhere\n\
         goes by name. Each request is counted once. A request is counted a second after its end at the\n\
         latest. Past `service_graph.max_edges` there is one series with `otel_metric_overflow=\"true\"`.",
        declared(&service_graph::families()),
    ));
    let mut resources = resources::families();
    let collectors = resources.pop().expect("the collectors' own metrics");
    for (title, families) in &resources {
        parts.push((title, about_resource(title), declared(families)));
    }
    parts.extend([
        (
            "TLS",
            "Encrypted connections, and how much of them is a blind spot. Each end on this host counts. What \
             is read is among\nthe requests, with `url_scheme=\"https\"`.",
            declared(&[&crate::tls::connections::CONNECTIONS]),
        ),
        (
            "Collectors",
            "Resources are collected at the scrape, each group by itself and for a second at most. A \
             group that\nfails or is late is missing, wholly or in part, from that page only.\n\nWhose a process is, is \
             learned by looking at it, every two seconds at least. One that comes and\ngoes in between is \
             its service's if its container or systemd unit gives the name, and the host's alone\nif only \
             its program or its environment would have: what is not known is not guessed from its\nneighbours.",
            declared(&collectors.1),
        ),
        (
            "The agent's books",
            "What hark saw, lost and kept. On the kernel side `hark_exchanges_begun_total` is always\n\
             `hark_exchanges_handed_over_total` + `hark_exchanges_lost_total` + what is under way.",
            own,
        ),
        (
            "The agent as a process",
            "By the names that Prometheus client libraries use.",
            process,
        ),
    ]);
    let mut used = BTreeSet::new();
    for (title, about, families) in parts {
        let _ = write!(
            page,
            "\n## {title}\n\n{about}\n\n| name | type | unit | labels | meaning | source |\n\
             |---|---|---|---|---|---|\n"
        );
        for (name, family) in families {
            let labels: Vec<String> = family
                .labels
                .iter()
                .map(|(label, values)| labelled(label, values))
                .collect();
            used.extend(family.labels.into_keys());
            let _ = writeln!(
                page,
                "| `{name}` | {} | {} | {} | {} | {} |",
                family.kind,
                unit(&name),
                labels.join(", "),
                family.help.replace('|', "\\|"),
                family.source
            );
        }
    }
    page.push_str("\n## Labels\n\n| label | meaning |\n|---|---|\n");
    for label in LABELS {
        let _ = writeln!(page, "| `{}` | {} |", label.name, label.about);
    }
    let known: BTreeSet<String> = LABELS.iter().map(|label| label.name.into()).collect();
    assert_eq!(used, known, "the table of labels and those on the pages");
    page
}

/// A label with its values if they are a closed list.
fn labelled(label: &str, values: &BTreeSet<String>) -> String {
    if LABELS
        .iter()
        .any(|known| known.name == label && known.is_closed)
    {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        format!("`{label}` ({})", values.join(", "))
    } else {
        format!("`{label}`")
    }
}

/// The unit that a name ends with.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.ends_with(&format!("_{unit}")))
        .unwrap_or("")
}

#[test]
fn docs_metrics_is_current() {
    assert_current("metrics.md", &page());
}
