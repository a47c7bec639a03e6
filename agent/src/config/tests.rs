//! Whole configurations: what they mean, and exactly what is said of bad ones.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::sampling::SlowAfter;

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// Loads `yaml` as the file `hark.yaml`; errors name it so, without its directory.
fn load_text(yaml: &[u8], environment: &[(&str, &str)]) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hark.yaml");
    std::fs::write(&file, yaml).unwrap();
    load(Some(&file), variables(environment)).map_err(|errors| {
        errors
            .to_string()
            .replace(&format!("{}/", directory.path().display()), "")
    })
}

#[test]
fn nothing_set_is_the_default() {
    for empty in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "{}\n",
        "null\n",
        "routes:\n",
        "routes: {}\n",
    ] {
        let loaded = load_text(empty.as_bytes(), &[]).unwrap();
        assert_eq!(loaded.config, Config::default(), "{empty:?}");
        assert!(
            loaded
                .origins
                .iter()
                .all(|origin| *origin == Origin::Default)
        );
    }
    assert_eq!(load(None, []).unwrap().config, Config::default());
}

#[test]
fn every_key_can_be_set_by_file_and_by_environment() {
    let yaml = "
listen: '[::1]:80'
proc_root: /host/proc
ring_buffer_bytes: 16MiB
log: {level: debug, format: json}
capture:
  unix: false
  tls: false
routes:
  templates:
    - /orders/{id}
    - /static/{rest*}
  unmatched: unset
  max_per_service: 7
metrics:
  expire_after: 1m30s
  max_series: 1_000
traces:
  context: [xray, w3c]
  links: false
  leave_out_instrumented: false
sampling:
  probability: 0.25
  spans_per_second: 20
  slow_after:
    - 1s
    - shop /a 10ms
  slow_quantile: 0.5
  parent: honour
service_graph:
  enabled: false
  max_edges: 20
  max_remotes: 0
request_log:
  output: file
  otlp: true
  which: errors
  slow: 250ms
  services:
    - checkout=all
    - a=b=none
  max_per_second: 21
  path: /tmp/log
  max_file_bytes: 1MiB
  max_files: 22
resources:
  cpu: false
  memory: false
  disk: false
  network: false
  max_services: 19
limits:
  max_connections: 17
  max_processes: 18
  max_fragment_exchanges: 21
";
    let expected = Config {
        listen: "[::1]:80".parse().unwrap(),
        proc_root: "/host/proc".into(),
        ring_buffer_bytes: 16_777_216,
        log: Log {
            level: LogLevel::Debug,
            format: LogFormat::Json,
        },
        capture: Capture {
            unix: false,
            tls: false,
        },
        routes: Routes {
            templates: vec!["/orders/{id}".into(), "/static/{rest*}".into()],
            unmatched: Unmatched::Unset,
            max_per_service: 7,
        },
        metrics: Metrics {
            expire_after: Duration::from_secs(90),
            max_series: 1_000,
        },
        traces: Traces {
            context: vec![Format::XRay, Format::W3c],
            links: false,
            leave_out_instrumented: false,
        },
        sampling: Sampling {
            probability: 0.25,
            spans_per_second: 20,
            slow_after: vec![
                SlowAfter {
                    service: None,
                    route: None,
                    duration: Duration::from_secs(1),
                },
                SlowAfter {
                    service: Some("shop".into()),
                    route: Some("/a".into()),
                    duration: Duration::from_millis(10),
                },
            ],
            slow_quantile: 0.5,
            parent: ParentDecision::Honour,
        },
        service_graph: ServiceGraph {
            enabled: false,
            max_edges: 20,
            max_remotes: 0,
        },
        request_log: RequestLog {
            output: LogOutput::File,
            otlp: true,
            which: Which::Errors,
            slow: Duration::from_millis(250),
            services: vec!["checkout=all".into(), "a=b=none".into()],
            max_per_second: 21,
            path: "/tmp/log".into(),
            max_file_bytes: 1_048_576,
            max_files: 22,
        },
        resources: Resources {
            cpu: false,
            memory: false,
            disk: false,
            network: false,
            max_services: 19,
        },
        limits: Limits {
            max_connections: 17,
            max_processes: 18,
            max_fragment_exchanges: 21,
        },
    };
    let from_file = load_text(yaml.as_bytes(), &[]).unwrap();
    assert_eq!(from_file.config, expected);
    let pairs = [
        ("HARK_LISTEN", "[::1]:80"),
        ("HARK_PROC_ROOT", "/host/proc"),
        ("HARK_RING_BUFFER_BYTES", "16777216"),
        ("HARK_LOG_LEVEL", "debug"),
        ("HARK_LOG_FORMAT", "json"),
        ("HARK_CAPTURE_UNIX", "false"),
        ("HARK_CAPTURE_TLS", "false"),
        ("HARK_ROUTES_TEMPLATES", "/orders/{id}, /static/{rest*}"),
        ("HARK_ROUTES_UNMATCHED", "unset"),
        ("HARK_ROUTES_MAX_PER_SERVICE", "7"),
        ("HARK_METRICS_EXPIRE_AFTER", "90s"),
        ("HARK_METRICS_MAX_SERIES", "1000"),
        ("HARK_TRACES_CONTEXT", "xray, w3c"),
        ("HARK_TRACES_LINKS", "false"),
        ("HARK_TRACES_LEAVE_OUT_INSTRUMENTED", "false"),
        ("HARK_SAMPLING_PROBABILITY", "0.25"),
        ("HARK_SAMPLING_SPANS_PER_SECOND", "20"),
        ("HARK_SAMPLING_SLOW_AFTER", "1s, shop /a 10ms"),
        ("HARK_SAMPLING_SLOW_QUANTILE", "0.5"),
        ("HARK_SAMPLING_PARENT", "honour"),
        ("HARK_SERVICE_GRAPH_ENABLED", "false"),
        ("HARK_SERVICE_GRAPH_MAX_EDGES", "20"),
        ("HARK_SERVICE_GRAPH_MAX_REMOTES", "0"),
        ("HARK_REQUEST_LOG_OUTPUT", "file"),
        ("HARK_REQUEST_LOG_OTLP", "true"),
        ("HARK_REQUEST_LOG_WHICH", "errors"),
        ("HARK_REQUEST_LOG_SLOW", "250ms"),
        ("HARK_REQUEST_LOG_SERVICES", "checkout=all, a=b=none"),
        ("HARK_REQUEST_LOG_MAX_PER_SECOND", "21"),
        ("HARK_REQUEST_LOG_PATH", "/tmp/log"),
        ("HARK_REQUEST_LOG_MAX_FILE_BYTES", "1MiB"),
        ("HARK_REQUEST_LOG_MAX_FILES", "22"),
        ("HARK_RESOURCES_CPU", "false"),
        ("HARK_RESOURCES_MEMORY", "false"),
        ("HARK_RESOURCES_DISK", "false"),
        ("HARK_RESOURCES_NETWORK", "false"),
        ("HARK_RESOURCES_MAX_SERVICES", "19"),
        ("HARK_LIMITS_MAX_CONNECTIONS", "17"),
        ("HARK_LIMITS_MAX_PROCESSES", "18"),
        ("HARK_LIMITS_MAX_FRAGMENT_EXCHANGES", "21"),
    ];
    assert_eq!(pairs.len(), key::KEYS.len());
    let from_environment = load(None, variables(&pairs)).unwrap();
    assert_eq!(from_environment.config, expected);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let loaded = load_text(
        b"listen: 127.0.0.1:1\nmetrics:\n  max_series: 200\n",
        &[("HARK_LISTEN", "127.0.0.1:2"), ("PATH", "/bin")],
    )
    .unwrap();
    assert_eq!(loaded.config.listen.port(), 2);
    assert_eq!(loaded.config.metrics.max_series, 200);
    assert_eq!(loaded.config.limits, Config::default().limits);
    assert_eq!(
        loaded.origin("listen"),
        Some(&Origin::Variable("HARK_LISTEN".into()))
    );
    assert!(matches!(
        loaded.origin("metrics.max_series"),
        Some(Origin::File { line: 3, .. })
    ));
    assert_eq!(loaded.origin("log.level"), Some(&Origin::Default));
    assert_eq!(loaded.origin("nonsense"), None);
}

#[test]
fn errors_in_a_file() {
    let cases: &[(&[u8], &str)] = &[
        (
            b"listen: 127.0.0.1:1\n\nrouts: {}\n",
            "hark.yaml:3:1: unknown key `routs`; did you mean `routes`?",
        ),
        (
            b"routes:\n  max_per_servce: 3\n",
            "hark.yaml:2:3: unknown key `routes.max_per_servce`; did you mean `routes.max_per_service`?",
        ),
        (
            b"max_series: 3\n",
            "hark.yaml:1:1: unknown key `max_series`; did you mean `metrics.max_series`?",
        ),
        (
            b"routes.unmatched: fold\n",
            "hark.yaml:1:1: unknown key `routes.unmatched`; write it as `unmatched` in the section `routes`",
        ),
        (
            b"log:\n  verbosity: 3\n",
            "hark.yaml:2:3: unknown key `log.verbosity`; the keys here are `log.level`, `log.format`",
        ),
        (
            b"limits: 5\n",
            "hark.yaml:1:9: `limits`: this is a section, with the keys `limits.max_connections`, `limits.max_processes`, `limits.max_fragment_exchanges`",
        ),
        (
            b"listen: {host: x}\n",
            "hark.yaml:1:9: `listen`: this is a key with a value, not a section",
        ),
        (
            b"listen:\n",
            "hark.yaml:1:1: `listen`: there is no value; write one, or remove the key for its default",
        ),
        (
            b"listen: localhost\n",
            "hark.yaml:1:9: `listen`: `localhost` is not an IP address with a port such as `127.0.0.1:9465` or `[::1]:9465`",
        ),
        (
            b"listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n",
            "hark.yaml:2:1: `listen` is already set in line 1",
        ),
        (
            b"capture: {unix: yes}\n",
            "hark.yaml:1:17: `capture.unix`: `yes` is neither `true` nor `false`",
        ),
        (
            b"log: {level: warning}\n",
            "hark.yaml:1:14: `log.level`: `warning` is not a value of this key; it can be `error`, `warn`, `info`, `debug`, `trace`",
        ),
        (
            b"log: {level: inof}\n",
            "hark.yaml:1:14: `log.level`: `inof` is not a value of this key; did you mean `info`?",
        ),
        (
            b"metrics: {expire_after: 5}\n",
            "hark.yaml:1:25: `metrics.expire_after`: `5` has no unit; the units are ns, us, ms, s, m, h, d",
        ),
        (
            b"metrics: {expire_after: 1s}\n",
            "hark.yaml:1:25: `metrics.expire_after`: `1s` is not between 10s and 7d",
        ),
        (
            b"ring_buffer_bytes: 4GiB\n",
            "hark.yaml:1:20: `ring_buffer_bytes`: `4GiB` is not between 64KiB and 1GiB",
        ),
        (
            b"limits: {max_processes: -1}\n",
            "hark.yaml:1:25: `limits.max_processes`: `-1` is not a whole number such as `20000`",
        ),
        (
            b"limits: {max_processes: 15}\n",
            "hark.yaml:1:25: `limits.max_processes`: `15` is not between 16 and 4194304",
        ),
        (
            b"proc_root: proc\n",
            "hark.yaml:1:12: `proc_root`: `proc` is not an absolute path such as `/proc`",
        ),
        (
            b"routes:\n  templates: /a\n",
            "hark.yaml:2:14: `routes.templates`: this is a list; write each item on a line of its own that begins with `- `",
        ),
        (
            b"routes:\n  templates:\n  - /a\n  - [b]\n",
            "hark.yaml:4:5: `routes.templates`: every item of the list must be text; put it in quotes",
        ),
        (
            b"routes:\n  templates: [orders]\n",
            "hark.yaml:2:15: `routes.templates`: `orders` does not begin with `/`",
        ),
        (
            b"routes:\n  templates:\n  - /ok\n  - /a{b}/c\n",
            "hark.yaml:4:5: `routes.templates`: `/a{b}/c` has a brace inside a segment; a parameter is a whole segment, as in `/orders/{id}`",
        ),
        (
            b"routes:\n  templates:\n  - /{rest*}/c\n",
            "hark.yaml:3:5: `routes.templates`: `/{rest*}/c` has a `{…*}` that is not the last segment",
        ),
        (
            b"- listen\n",
            "hark.yaml:1:1: the configuration is not a mapping of keys to values such as `listen: 127.0.0.1:9465`",
        ),
        (
            b"listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n",
            "hark.yaml:2:1: a second YAML document begins here; a configuration is one document",
        ),
        (
            b"log: &a {}\ncapture: *a\n",
            "hark.yaml:1:9: YAML anchors are not supported in a configuration",
        ),
        (
            b"listen: !!str 127.0.0.1:1\n",
            "hark.yaml:1:15: YAML tags are not supported in a configuration",
        ),
        (
            b"? [a, b]\n: c\n",
            "hark.yaml:1:3: a key must be a plain word",
        ),
        (
            b"log:\n  level: \xff\n",
            "hark.yaml:2:10: is not UTF-8 text",
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(
            load_text(yaml, &[]).unwrap_err(),
            *expected,
            "{}",
            String::from_utf8_lossy(yaml)
        );
    }
}

#[test]
fn a_syntax_error_has_its_place() {
    for (yaml, place) in [
        ("listen: [\n", "hark.yaml:1:9: not valid YAML: "),
        ("log:\n\tlevel: info\n", "hark.yaml:2:2: not valid YAML: "),
        ("a: 'b\n", "hark.yaml:2:1: not valid YAML: "),
    ] {
        let error = load_text(yaml.as_bytes(), &[]).unwrap_err();
        assert!(error.starts_with(place), "{yaml:?}: {error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn all_errors_are_told_in_the_order_of_the_file() {
    let error = load_text(
        b"listen: x\nrouts: {}\nlog:\n  level: loud\n",
        &[("HARK_LISTN", "x"), ("HARK_CAPTURE_UNIX", "1")],
    )
    .unwrap_err();
    assert_eq!(
        error,
        "hark.yaml:1:9: `listen`: `x` is not an IP address with a port such as `127.0.0.1:9465` or `[::1]:9465`
hark.yaml:2:1: unknown key `routs`; did you mean `routes`?
hark.yaml:4:10: `log.level`: `loud` is not a value of this key; it can be `error`, `warn`, `info`, `debug`, `trace`
HARK_LISTN: unknown variable `HARK_LISTN`; did you mean `HARK_LISTEN`?
HARK_CAPTURE_UNIX: `capture.unix`: `1` is neither `true` nor `false`"
    );
}

#[test]
fn errors_in_the_environment() {
    for (name, value, expected) in [
        (
            "HARK_LISTEN",
            "",
            "HARK_LISTEN: `listen`: `` is not an IP address with a port such as `127.0.0.1:9465` or `[::1]:9465`",
        ),
        (
            "HARK_ROUTES",
            "x",
            "HARK_ROUTES: unknown variable `HARK_ROUTES`; `hark config print` shows those that there are",
        ),
        (
            "HARK_LOGS",
            "x",
            "HARK_LOGS: unknown variable `HARK_LOGS`; did you mean `HARK_LOG`?",
        ),
        (
            "HARK_ROUTES_TEMPLATES",
            "/a,b",
            "HARK_ROUTES_TEMPLATES: `routes.templates`: `b` does not begin with `/`",
        ),
    ] {
        let error = load(None, variables(&[(name, value)])).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = load(
        None,
        [("HARK_LISTEN".into(), OsString::from_vec(vec![0xff]))],
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "HARK_LISTEN: is not UTF-8 text");
}

#[test]
fn variables_of_others_are_left_alone() {
    let loaded = load(
        None,
        variables(&[
            ("HARK_LOG", "debug"),
            ("HARK_CONFIG", "x"),
            ("HARKEN", "x"),
            ("hark_listen", "x"),
            ("HARK_SERVICE_HOST", "10.0.0.1"),
            ("HARK_SERVICE_PORT", "9465"),
            ("HARK_SERVICE_PORT_METRICS", "9465"),
            ("HARK_PORT", "tcp://10.0.0.1:9465"),
            ("HARK_PORT_9465_TCP", "tcp://10.0.0.1:9465"),
            ("HARK_PORT_9465_TCP_PROTO", "tcp"),
            ("HARK_PORT_9465_TCP_PORT", "9465"),
            ("HARK_PORT_9465_TCP_ADDR", "10.0.0.1"),
            ("HARK_COLLECTOR_PORT_4317_UDP_ADDR", "10.0.0.1"),
        ]),
    )
    .unwrap();
    assert_eq!(loaded.config, Config::default());
    let error = load(None, variables(&[("HARK_PORT_X_TCP", "1")])).unwrap_err();
    assert_eq!(error.0.len(), 1);
}

#[test]
fn files_that_cannot_be_read() {
    let error = load(Some(Path::new("/nonexistent/hark.yaml")), []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/hark.yaml: cannot read the configuration: No such file or directory (os error 2)"
    );
    let error = load(Some(Path::new("/")), []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/: cannot read the configuration: Is a directory (os error 21)"
    );
    let error = load(Some(Path::new("/dev/zero")), []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/zero: the configuration is larger than 1048576 bytes"
    );
}

#[test]
fn a_file_that_is_no_configuration_ends_soon() {
    let lines = "a: b\n".repeat(200_000);
    assert_eq!(
        load_text(lines.as_bytes(), &[])
            .unwrap_err()
            .lines()
            .count(),
        20
    );
    let deep = "[".repeat(500_000);
    assert_eq!(
        load_text(deep.as_bytes(), &[]).unwrap_err().lines().count(),
        1
    );
}

#[test]
fn print_names_values_and_origins() {
    let loaded = load_text(
        b"routes:\n  templates: ['/a/{id}', \"/b\"]\n",
        &[("HARK_LOG_LEVEL", "warn")],
    )
    .unwrap();
    let page = print(&loaded);
    let file = match loaded.origin("routes.templates") {
        Some(Origin::File { file, .. }) => file.display().to_string(),
        other => panic!("{other:?}"),
    };
    let short: String = file.chars().take(60).collect();
    assert!(file.len() <= 60, "{short}");
    assert_eq!(
        page.replace(&file, "hark.yaml"),
        "listen: 127.0.0.1:9465  # default; HARK_LISTEN
proc_root: /proc  # default; HARK_PROC_ROOT
ring_buffer_bytes: 8MiB  # default; HARK_RING_BUFFER_BYTES
log:
  level: warn  # environment HARK_LOG_LEVEL
  format: text  # default; HARK_LOG_FORMAT
capture:
  unix: true  # default; HARK_CAPTURE_UNIX
  tls: true  # default; HARK_CAPTURE_TLS
routes:
  templates:  # hark.yaml:2
    - /a/{id}
    - /b
  unmatched: fold  # default; HARK_ROUTES_UNMATCHED
  max_per_service: 100  # default; HARK_ROUTES_MAX_PER_SERVICE
metrics:
  expire_after: 5m  # default; HARK_METRICS_EXPIRE_AFTER
  max_series: 20000  # default; HARK_METRICS_MAX_SERIES
traces:
  context:  # default; HARK_TRACES_CONTEXT
    - w3c
    - b3
    - b3multi
    - jaeger
    - datadog
    - xray
  links: true  # default; HARK_TRACES_LINKS
  leave_out_instrumented: true  # default; HARK_TRACES_LEAVE_OUT_INSTRUMENTED
sampling:
  probability: 1  # default; HARK_SAMPLING_PROBABILITY
  spans_per_second: 0  # default; HARK_SAMPLING_SPANS_PER_SECOND
  slow_after: []  # default; HARK_SAMPLING_SLOW_AFTER
  slow_quantile: 0.99  # default; HARK_SAMPLING_SLOW_QUANTILE
  parent: ignore  # default; HARK_SAMPLING_PARENT
service_graph:
  enabled: true  # default; HARK_SERVICE_GRAPH_ENABLED
  max_edges: 1000  # default; HARK_SERVICE_GRAPH_MAX_EDGES
  max_remotes: 50  # default; HARK_SERVICE_GRAPH_MAX_REMOTES
request_log:
  output: none  # default; HARK_REQUEST_LOG_OUTPUT
  otlp: false  # default; HARK_REQUEST_LOG_OTLP
  which: kept  # default; HARK_REQUEST_LOG_WHICH
  slow: 1s  # default; HARK_REQUEST_LOG_SLOW
  services: []  # default; HARK_REQUEST_LOG_SERVICES
  max_per_second: 100  # default; HARK_REQUEST_LOG_MAX_PER_SECOND
  path: /var/log/hark/requests.log  # default; HARK_REQUEST_LOG_PATH
  max_file_bytes: 100MiB  # default; HARK_REQUEST_LOG_MAX_FILE_BYTES
  max_files: 5  # default; HARK_REQUEST_LOG_MAX_FILES
resources:
  cpu: true  # default; HARK_RESOURCES_CPU
  memory: true  # default; HARK_RESOURCES_MEMORY
  disk: true  # default; HARK_RESOURCES_DISK
  network: true  # default; HARK_RESOURCES_NETWORK
  max_services: 200  # default; HARK_RESOURCES_MAX_SERVICES
limits:
  max_connections: 65536  # default; HARK_LIMITS_MAX_CONNECTIONS
  max_processes: 8192  # default; HARK_LIMITS_MAX_PROCESSES
  max_fragment_exchanges: 65536  # default; HARK_LIMITS_MAX_FRAGMENT_EXCHANGES
"
    );
}

proptest! {
    /// What `hark config print` prints is the same configuration when it is read.
    #[test]
    fn what_is_printed_is_read_back(
        port: u16,
        v6: bool,
        ring in 65_536u32..=1 << 30,
        unix: bool,
        seconds in 10u64..=604_800,
        count in 100usize..=10_000,
        root in "/[^\\p{C}./][^\\p{C}/]{0,20}",
        templates in proptest::collection::vec("/[^\\s\\p{C}{}?#]{0,20}", 0..4),
    ) {
        let config = Config {
            listen: if v6 { ([0, 0, 0, 0, 0, 0, 0, 1], port).into() } else { ([127, 0, 0, 1], port).into() },
            proc_root: root.into(),
            ring_buffer_bytes: ring,
            capture: Capture { unix, tls: !unix },
            routes: Routes { templates, unmatched: Unmatched::Unset, max_per_service: count },
            metrics: Metrics { expire_after: Duration::from_secs(seconds), max_series: count },
            ..Config::default()
        };
        let page = print(&Loaded { config: config.clone(), origins: vec![Origin::Default; key::KEYS.len()] });
        let read = load_text(page.as_bytes(), &[]);
        prop_assert_eq!(read.map(|loaded| loaded.config), Ok(config), "{}", page);
    }

    /// Any bytes are a configuration or an error; nothing panics.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load_text(&bytes, &[]);
    }

    /// So is any text made of YAML's own pieces.
    #[test]
    fn any_yaml(pieces in proptest::collection::vec(
        proptest::sample::select(vec![
            "routes", "templates", "listen", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", ",",
            "'", "\"", "&a", "*a", "|", ">", "!!str", "---", "...", "?", "#", "\t", "%", "<<",
        ]),
        0..40,
    )) {
        let _ = load_text(pieces.concat().as_bytes(), &[]);
    }
}

#[test]
fn rules_of_the_request_log() {
    let refused = |rule: &str| {
        let yaml = format!("request_log:\n  services: ['a=all', '{rule}']\n");
        load_text(yaml.as_bytes(), &[]).unwrap_err()
    };
    for (rule, problem) in [
        ("shop", "is not a service and a word such as `checkout=all`"),
        ("=all", "has no proper name of a service before `=`"),
        ("shop =all", "has no proper name of a service before `=`"),
        (
            "shop=most",
            "has a word after `=` that is none of `kept`, `all`, `errors`, `slow`, `none`",
        ),
    ] {
        let error = refused(rule);
        assert!(error.contains(&format!("`{rule}` {problem}")), "{error}");
    }
    let error = load_text(b"request_log: {services: shop=all}\n", &[]).unwrap_err();
    assert!(error.contains("this is a list"), "{error}");
}
