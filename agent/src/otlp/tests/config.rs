//! The environment, variable by variable.

use http::HeaderMap;

use super::*;
use crate::otlp::config::{ClientIdentity, Compression};
use crate::otlp::{OtlpConfigError, Signal};

type Variables<'a> = &'a [(&'a str, &'a str)];
type Headers<'a> = &'a [(&'a str, &'a [u8])];

fn read(variables: Variables<'_>) -> Result<Option<OtlpConfig>, OtlpConfigError> {
    OtlpConfig::from_env(|name| {
        variables
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// With an endpoint, and these variables without `OTEL_EXPORTER_OTLP_`.
fn on(variables: Variables<'_>) -> OtlpConfig {
    let names: Vec<_> = variables
        .iter()
        .map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value))
        .collect();
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")];
    all.extend(names.iter().map(|(name, value)| (name.as_str(), *value)));
    read(&all).unwrap().unwrap()
}

/// The sentence of a bad value.
fn sentence(variables: Variables<'_>) -> String {
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")];
    all.splice(0..0, variables.iter().copied());
    read(&all).unwrap_err().to_string()
}

#[test]
fn defaults() {
    let config = on(&[]);
    let expected = OtlpConfig {
        signal: Signal::Traces,
        protocol: Protocol::HttpProtobuf,
        endpoint: "http://localhost:4318/v1/traces".parse().unwrap(),
        headers: HeaderMap::new(),
        compression: Compression::None,
        timeout: Duration::from_secs(10),
        certificate: None,
        client_identity: None,
        batching: Batching {
            max_queue_size: 2048,
            max_queue_bytes: 8_388_608,
            max_export_batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(30),
            max_age: Duration::from_secs(300),
        },
        retrying: Retrying {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(10),
        },
    };
    assert_eq!(config, expected);
}

#[test]
fn off() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let cases: [Variables<'_>; 8] = [
        &[],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        // What is off is not looked at.
        &[("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")],
        &[("OTEL_TRACES_EXPORTER", "otlp")],
        &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        &[
            endpoint,
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ],
        &[endpoint, ("OTEL_SDK_DISABLED", "TRUE")],
    ];
    for variables in cases {
        assert_eq!(read(variables), Ok(None), "{variables:?}");
    }
    let cases: [Variables<'_>; 3] = [
        &[endpoint, ("OTEL_SDK_DISABLED", "false")],
        &[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")],
        &[
            endpoint,
            ("OTEL_SDK_DISABLED", ""),
            ("OTEL_TRACES_EXPORTER", ""),
        ],
    ];
    for variables in cases {
        assert_eq!(read(variables), Ok(Some(on(&[]))), "{variables:?}");
    }
}

#[test]
fn endpoints() {
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let signal = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let cases: [(Variables<'_>, &str); 11] = [
        // The general one is a base, whatever it ends with.
        (&[(general, "http://c:4318")], "http://c:4318/v1/traces"),
        (&[(general, "http://c:4318/")], "http://c:4318/v1/traces"),
        (&[(general, "https://c/otlp/")], "https://c/otlp/v1/traces"),
        (&[(general, " http://c?key=1 ")], "http://c/v1/traces?key=1"),
        (
            &[(general, "http://[::1]:4318")],
            "http://[::1]:4318/v1/traces",
        ),
        // The signal's own is used as it is, and wins.
        (&[(signal, "http://c:4318")], "http://c:4318/"),
        (&[(signal, "http://c/spans")], "http://c/spans"),
        (
            &[(general, "http://a"), (signal, "http://b/x/")],
            "http://b/x/",
        ),
        (
            &[(general, "nonsense"), (signal, "http://b/x/")],
            "http://b/x/",
        ),
        (&[(general, "http://a"), (signal, "")], "http://a/v1/traces"),
        (&[(general, "HTTP://c")], "http://c/v1/traces"),
    ];
    for (variables, expected) in cases {
        let config = read(variables).unwrap().unwrap();
        assert_eq!(config.endpoint.to_string(), expected, "{variables:?}");
    }

    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let insecure = "OTEL_EXPORTER_OTLP_INSECURE";
    let cases: [(Variables<'_>, &str); 8] = [
        (&[grpc, (general, "http://c:4317")], "http://c:4317/"),
        (
            &[grpc, (general, "https://c:4317/ignored")],
            "https://c:4317/",
        ),
        (&[grpc, (general, "c:4317")], "https://c:4317/"),
        (
            &[grpc, (general, "c:4317"), (insecure, "false")],
            "https://c:4317/",
        ),
        (
            &[grpc, (general, "c:4317"), (insecure, "true")],
            "http://c:4317/",
        ),
        (
            &[grpc, (general, "localhost"), (insecure, "True")],
            "http://localhost/",
        ),
        // A scheme says it by itself.
        (
            &[grpc, (general, "https://c:4317"), (insecure, "true")],
            "https://c:4317/",
        ),
        (
            &[
                grpc,
                (general, "c:4317"),
                (insecure, "true"),
                ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false"),
            ],
            "https://c:4317/",
        ),
    ];
    for (variables, expected) in cases {
        let config = read(variables).unwrap().unwrap();
        assert_eq!(config.endpoint.to_string(), expected, "{variables:?}");
    }
}

#[test]
fn bad_endpoints() {
    for value in [
        "localhost:4318",
        "localhost",
        "ftp://c:4318",
        "/v1/traces",
        "http://",
        "http://:4318",
        "http://c:",
        "http://c:99999",
        "http://c:port",
        "http://a b",
        "http://user@c",
        "unix:///run/otel.sock",
    ] {
        let error = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]).unwrap_err();
        let OtlpConfigError::Value { variable, .. } = error else {
            panic!("{value}: {error}");
        };
        assert_eq!(variable, "OTEL_EXPORTER_OTLP_ENDPOINT", "{value}");
    }
    for value in ["", "dns:///c:4317", "/c", "c:99999", "user@c:4317", "a b"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://fine"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value),
        ];
        assert_eq!(read(&variables).is_err(), !value.is_empty(), "{value}");
    }
}

#[test]
fn the_signal_wins() {
    let config = on(&[
        ("PROTOCOL", "http/protobuf"),
        ("TRACES_PROTOCOL", "grpc"),
        ("HEADERS", "a=1,b=2"),
        ("TRACES_HEADERS", "c=3"),
        ("COMPRESSION", "gzip"),
        ("TRACES_COMPRESSION", "none"),
        ("TIMEOUT", "1"),
        ("TRACES_TIMEOUT", "2500"),
        ("CERTIFICATE", "/a"),
        ("TRACES_CERTIFICATE", "/b"),
        ("CLIENT_KEY", "/k"),
        ("TRACES_CLIENT_CERTIFICATE", "/c"),
    ]);
    let expected = OtlpConfig {
        headers: HeaderMap::from_iter([("c".parse().unwrap(), "3".parse().unwrap())]),
        timeout: Duration::from_millis(2500),
        certificate: Some("/b".into()),
        client_identity: Some(ClientIdentity {
            certificate: "/c".into(),
            key: "/k".into(),
        }),
        ..OtlpConfig::new(Protocol::Grpc, "http://localhost:4318/".parse().unwrap())
    };
    assert_eq!(config, expected);
}

#[test]
fn protocols_and_compressions() {
    let protocol = |value| on(&[("PROTOCOL", value)]).protocol;
    assert_eq!(protocol("grpc"), Protocol::Grpc);
    assert_eq!(protocol("http/protobuf"), Protocol::HttpProtobuf);
    assert_eq!(protocol(""), Protocol::HttpProtobuf);
    let compression = |value| on(&[("COMPRESSION", value)]).compression;
    assert_eq!(compression("gzip"), Compression::Gzip);
    assert_eq!(compression("none"), Compression::None);
    assert_eq!(compression(""), Compression::None);
}

#[test]
fn header_lists() {
    let cases: [(&str, Headers<'_>); 7] = [
        ("a=1", &[("a", b"1")]),
        (" a = 1 , B-c = 2 ,, ", &[("a", b"1"), ("b-c", b"2")]),
        (
            "authorization=Basic%20dXNlcjpwdw==",
            &[("authorization", b"Basic dXNlcjpwdw==")],
        ),
        (
            "authorization=Bearer x y",
            &[("authorization", b"Bearer x y")],
        ),
        ("a=%c3%A9%25", &[("a", b"\xc3\xa9%")]),
        ("a=,b=1;p=2", &[("a", b""), ("b", b"1;p=2")]),
        ("a=1,A=2", &[("a", b"2")]),
    ];
    for (value, expected) in cases {
        let headers = on(&[("HEADERS", value)]).headers;
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn header_values_are_never_shown() {
    let config = on(&[("HEADERS", "authorization=hunter2")]);
    let debug = format!("{config:?} {:?}", config.headers);
    assert!(!debug.contains("hunter2"), "{debug}");
    for value in [
        "hunter2",
        "a=1,hunter2",
        "a b=hunter2",
        "a=hunter2%",
        "a=hunter2%0a",
    ] {
        let sentence = sentence(&[("OTEL_EXPORTER_OTLP_HEADERS", value)]);
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
}

#[test]
fn batching() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let batching = |variables: Variables<'_>| {
        let all = [&[endpoint], variables].concat();
        read(&all).unwrap().unwrap().batching
    };
    assert_eq!(
        batching(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10000"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "86400000"),
        ]),
        Batching {
            max_queue_size: 10_000,
            max_queue_bytes: 8_388_608,
            max_export_batch_size: 10_000,
            schedule_delay: Duration::from_millis(1),
            export_timeout: Duration::from_secs(86_400),
            max_age: Duration::from_secs(300),
        }
    );
    // The default batch is not longer than the queue.
    let small = batching(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100")]);
    assert_eq!(
        (small.max_queue_size, small.max_export_batch_size),
        (100, 100)
    );
}

#[test]
fn sentences() {
    let long = "x".repeat(300);
    let cases: [(Variables<'_>, &str); 20] = [
        (
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"http/json\"; accepted is `grpc` or `http/protobuf` \
             (OTLP in JSON is not supported)",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC")],
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is \"GRPC\"; accepted is `grpc` or `http/protobuf`",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")],
            "OTEL_EXPORTER_OTLP_COMPRESSION is \"zstd\"; accepted is `gzip` or `none`",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            "OTEL_EXPORTER_OTLP_TIMEOUT is \"10s\"; accepted is a whole number of milliseconds \
             from 1 to 86400000",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")],
            "OTEL_EXPORTER_OTLP_TIMEOUT is \"0\"; accepted is a whole number of milliseconds \
             from 1 to 86400000",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999999999999")],
            "OTEL_EXPORTER_OTLP_TIMEOUT is \"99999999999999999999\"; accepted is a whole number \
             of milliseconds from 1 to 86400000",
        ),
        (
            &[("OTEL_BSP_SCHEDULE_DELAY", "-1")],
            "OTEL_BSP_SCHEDULE_DELAY is \"-1\"; accepted is a whole number of milliseconds from 1 \
             to 86400000",
        ),
        (
            &[("OTEL_BSP_EXPORT_TIMEOUT", "1.5")],
            "OTEL_BSP_EXPORT_TIMEOUT is \"1.5\"; accepted is a whole number of milliseconds from \
             1 to 86400000",
        ),
        (
            &[("OTEL_BSP_MAX_QUEUE_SIZE", "1000001")],
            "OTEL_BSP_MAX_QUEUE_SIZE is \"1000001\"; accepted is a whole number of spans from 1 \
             to 1000000",
        ),
        (
            &[
                ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "101"),
            ],
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is \"101\"; accepted is at most \
             OTEL_BSP_MAX_QUEUE_SIZE, which is 100",
        ),
        (
            &[("OTEL_TRACES_EXPORTER", "otlp,console")],
            "OTEL_TRACES_EXPORTER is \"otlp,console\"; accepted is `otlp` or `none`",
        ),
        (
            &[("OTEL_SDK_DISABLED", "yes")],
            "OTEL_SDK_DISABLED is \"yes\"; accepted is `true` or `false`",
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
            ],
            "OTEL_EXPORTER_OTLP_INSECURE is \"1\"; accepted is `true` or `false`",
        ),
        (
            &[(
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "https://joe:pw@c:4318/x",
            )],
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is \"https://REDACTED@c:4318/x\"; accepted is an \
             http:// or https:// URL without credentials, such as http://localhost:4318",
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "joe:pw@c:4318"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ],
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is \"REDACTED@c:4318\"; accepted is an http:// or \
             https:// URL without credentials, or host:port, such as http://localhost:4317",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/k")],
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY is set but \
             OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE is not; a client certificate needs both",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c")],
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is set but OTEL_EXPORTER_OTLP_CLIENT_KEY is \
             not; a client certificate needs both",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "a=1,oops")],
            "OTEL_EXPORTER_OTLP_HEADERS cannot be used: entry 2 has no `=`; accepted is a list \
             such as `name=value,other=value` with values percent-encoded",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz")],
            "OTEL_EXPORTER_OTLP_HEADERS cannot be used: entry 1 has a `%` without two digits; \
             accepted is a list such as `name=value,other=value` with values percent-encoded",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1%0d%0ab:2")],
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS cannot be used: entry 1 has a value that a header \
             cannot carry; accepted is a list such as `name=value,other=value` with values \
             percent-encoded",
        ),
    ];
    for (variables, expected) in cases {
        assert_eq!(sentence(variables), expected);
    }
    assert_eq!(
        sentence(&[("OTEL_EXPORTER_OTLP_COMPRESSION", &long)]),
        format!(
            "OTEL_EXPORTER_OTLP_COMPRESSION is \"{}…\"; accepted is `gzip` or `none`",
            &long[..200]
        )
    );
}

/// The same for log records, with variables of their own.
fn read_logs(variables: Variables<'_>) -> Result<Option<OtlpConfig>, OtlpConfigError> {
    OtlpConfig::logs_from_env(|name| {
        variables
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn log_records() {
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/base/");
    let config = read_logs(&[general]).unwrap().unwrap();
    assert_eq!(config.signal, Signal::Logs);
    assert_eq!(config.endpoint, "http://localhost:4318/base/v1/logs");
    assert_eq!(config.batching.schedule_delay, Duration::from_secs(1));

    let config = read_logs(&[
        general,
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1/as/it/is"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1/"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "7"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "9"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ])
    .unwrap()
    .unwrap();
    assert_eq!(config.endpoint, "http://logs:1/as/it/is");
    assert_eq!(config.batching.max_queue_size, 7);

    assert_eq!(read_logs(&[]), Ok(None));
    assert_eq!(
        read_logs(&[general, ("OTEL_LOGS_EXPORTER", "none")]),
        Ok(None)
    );
    let error = read_logs(&[general, ("OTEL_BLRP_SCHEDULE_DELAY", "soon")]).unwrap_err();
    assert!(
        error.to_string().starts_with("OTEL_BLRP_SCHEDULE_DELAY is"),
        "{error}"
    );
    let half = ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "key.pem");
    let error = read_logs(&[general, half]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY is set but \
         OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE is not; a client certificate needs both"
    );
}
