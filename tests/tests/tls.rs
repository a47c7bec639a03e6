//! Inside TLS: exact counts at both ends, and every exchange on its own socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::certificate::Certificate;
use hark_tests::metrics::counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver, Span, Value};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::skip::Skip;
use hark_tests::truth::{lines, peers};
use hark_tests::turn::Turn;
use hark_tests::{names, need, tools, wait};
use rustix::process::Signal;

/// With the probes, which other tests go without.
const READ: (&str, &str) = ("HARK_CAPTURE_TLS", "true");

const LIMIT: Duration = Duration::from_secs(120);

fn python() -> Result<Command, Skip> {
    let mut command = Command::new(tools::find("python3")?);
    command.arg(tools::source("tls.py"));
    Ok(command)
}

/// A Python server of this kind.
fn serve(words: &[&str], certificate: &Certificate) -> Result<Server, Skip> {
    let mut command = python()?;
    command
        .args(words)
        .arg(&certificate.certificate)
        .arg(&certificate.key);
    Server::announced("tls-server", command)
}

/// nginx with two workers.
fn nginx(name: &str, certificate: &Certificate) -> Result<Server, Skip> {
    Nginx {
        workers: 2,
        tls: Some((certificate.certificate.clone(), certificate.key.clone())),
        ..Nginx::default()
    }
    .start(name)
}

/// What a Python client asked for, and from which port, by path; and its service name.
fn get(
    way: &str,
    server: &Server,
    connections: usize,
    requests: usize,
) -> Result<(String, BTreeMap<String, i64>), Skip> {
    let service = names::unique("tls-client");
    let mut command = python()?;
    command
        .args(["get", way, &server.tcp().port().to_string()])
        .args([connections.to_string(), requests.to_string()])
        .env("OTEL_SERVICE_NAME", &service);
    let said = Process::run(command, LIMIT);
    let sent = lines(&said, "SENT ");
    assert_eq!(sent.len(), connections * requests, "{said}");
    Ok((service, sent))
}

fn scheme(span: &Span) -> Value {
    let scheme = span.attributes.get("url.scheme");
    scheme.cloned().unwrap_or(Value::Int(0))
}

/// Exact counts, and each exchange's socket as both ends know it.
fn on_the_right_socket(serving: &str, getting: &str) {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let receiver = Receiver::http(Manner::Accepting);
    let endpoint = receiver.endpoint();
    let agent = Agent::start(&[READ, ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let server = need!(serve(&["serve", serving], &certificate));
    let (client, sent) = need!(get(getting, &server, 60, 20));
    let want = counts(&[("GET", "200", 1200)]);
    agent.expect_sent(&client, &want);
    agent.expect_served(&server.service, &want);
    assert_eq!(lines(&server.process.stdout(), "SEEN "), sent);
    for service in [&client, &server.service] {
        wait::expect_within(ARRIVAL, "spans", &1200, || receiver.spans(service).len());
    }
    let served = receiver.spans(&server.service);
    assert_eq!(peers(&served), sent, "each request's client");
    assert!(served.iter().all(|span| scheme(span) == "https".into()));
    let port = i64::from(server.tcp().port());
    let asked = receiver.spans(&client);
    assert!(peers(&asked).values().all(|peer| *peer == port));
    for span in &asked {
        let url = span.attributes.get("url.full");
        assert!(
            matches!(url, Some(Value::Text(url)) if url.starts_with("https://")),
            "{url:?}"
        );
    }
    // Each connection is one, and read.
    for service in [&client, &server.service] {
        let labels = [("service_name", service.as_str())];
        let page = agent.page();
        let by = page.by("hark_tls_connections_total", "readable", &labels);
        assert_eq!(by, [("true".to_owned(), 60)].into());
    }
    assert_eq!(agent.lost(), 0);
}

#[test]
fn threads_on_both_ends() {
    on_the_right_socket("threads", "threads");
}

/// Both ends have one thread, and a library that works on memory.
#[test]
fn memory_on_both_ends() {
    on_the_right_socket("asyncio", "asyncio");
}

/// h2load's own count, of HTTP/1.1 and HTTP/2 by ALPN.
#[test]
fn nginx_and_h2load() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let h2load = need!(tools::find("h2load"));
    let agent = Agent::start(&[READ]);
    let server = need!(nginx("tls-nginx", &certificate));
    let mut served = 0;
    for (manner, version) in [(&["--h1"][..], "1.1"), (&["-m", "10"], "2")] {
        let service = names::unique("tls-h2load");
        let mut command = Command::new(&h2load);
        command
            .args(["-n", "3000", "-c", "50"])
            .args(manner)
            .arg(format!("https://{}/ok", server.tcp()))
            .env("OTEL_SERVICE_NAME", &service);
        let said = Process::run(command, LIMIT);
        assert!(said.contains("3000 2xx"), "{said}");
        served += 3000;
        agent.expect_sent(&service, &counts(&[("GET", "200", 3000)]));
        agent.expect_served(&server.service, &counts(&[("GET", "200", served)]));
        let labels = [
            ("service_name", &*server.service),
            ("network_protocol_version", version),
            ("url_scheme", "https"),
        ];
        let family = format!("{}_count", agent::SERVER);
        assert_eq!(agent.page().total(&family, &labels), 3000);
    }
}

fn curl(server: &Server, service: &str, path: &str) -> Result<(), Skip> {
    let mut command = Command::new(tools::find("curl")?);
    command
        .args(["-sSk", "--http1.1", "-o", "/dev/null"])
        .arg(format!("https://{}{path}", server.tcp()))
        .env("OTEL_SERVICE_NAME", service);
    let _ = Process::run(command, LIMIT);
    Ok(())
}

/// Processes of a few milliseconds; GnuTLS, which Debian's wget is built with.
#[test]
fn short_lives_and_another_library() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let agent = Agent::start(&[READ]);
    let server = need!(serve(&["serve", "threads"], &certificate));
    let service = names::unique("tls-curl");
    for n in 0..20 {
        need!(curl(&server, &service, &format!("/curl/{n}")));
    }
    agent.expect_sent(&service, &counts(&[("GET", "200", 20)]));
    let service = names::unique("tls-wget");
    let mut command = Command::new(need!(tools::find("wget")));
    command
        .args(["-q", "--no-check-certificate", "-O", "/dev/null"])
        .args((0..10).map(|n| format!("https://{}/wget/{n}", server.tcp())))
        .env("OTEL_SERVICE_NAME", &service);
    let _ = Process::run(command, LIMIT);
    agent.expect_sent(&service, &counts(&[("GET", "200", 10)]));
    agent.expect_served(&server.service, &counts(&[("GET", "200", 30)]));
}

/// A filter that kills for any call that is not on its list: what a probe did must not be one.
#[test]
fn a_confined_process_lives_on() {
    need!(agent::root());
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let certificate = need!(Certificate::make());
    let agent = Agent::start(&[READ]);
    let mut server = need!(serve(&["strict"], &certificate));
    let (client, _) = need!(get("threads", &server, 1, 200));
    let want = counts(&[("GET", "200", 200)]);
    agent.expect_sent(&client, &want);
    agent.expect_served(&server.service, &want);
    server.process.line("ALIVE").expect("it was not killed");
}

/// A copy of the machine's libssl, which the agent does not know before it finds a process with it.
fn own_libssl(folder: &Path) -> Result<PathBuf, Skip> {
    let original = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
    ]
    .iter()
    .map(|folder| Path::new(folder).join("libssl.so.3"))
    .find(|path| path.is_file())
    .ok_or_else(|| Skip("no libssl.so.3".into()))?;
    let own = folder.join("libssl.so.3");
    std::fs::copy(&original, &own).expect("our own folder");
    Ok(own)
}

/// A library of a process's own, which is gone from the disk by the time that it is found; and one
/// that is loaded late.
#[test]
fn libraries_that_are_gone_or_come_late() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    for (words, late) in [(&["serve", "threads"][..], false), (&["late"], true)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = need!(own_libssl(folder.path()));
        let mut command = need!(python());
        command
            .args(words)
            .arg(&certificate.certificate)
            .arg(&certificate.key)
            .env("LD_LIBRARY_PATH", folder.path());
        let server = need!(Server::announced("tls-own", command));
        let maps = || {
            let path = format!("/proc/{}/maps", server.process.id());
            std::fs::read_to_string(path).expect("it lives")
        };
        if !late {
            wait::until(LIMIT, "the library", || {
                maps().contains("libssl").then_some(())
            });
            std::fs::remove_file(&own).expect("our own file");
        }
        let agent = Agent::start(&[READ]);
        if late {
            assert!(!maps().contains("libssl"));
            std::io::Write::write_all(
                &mut std::net::TcpStream::connect(server.tcp()).expect("it listens"),
                b"go\n",
            )
            .expect("it reads");
        }
        // The first connection shows the library to the agent.
        let (first, _) = need!(get("threads", &server, 1, 1));
        wait::until(LIMIT, "the library to be found", || {
            let (client, _) = get("threads", &server, 1, 1).ok()?;
            let labels = [("service_name", &*server.service), ("readable", "true")];
            let read = agent.page().total("hark_tls_connections_total", &labels) > 0;
            (read && client != first).then_some(())
        });
        agent.barrier();
        let before = agent.server_counts(&server.service);
        let before = before.values().sum::<u64>();
        let (client, _) = need!(get("threads", &server, 10, 20));
        agent.expect_sent(&client, &counts(&[("GET", "200", 200)]));
        agent.expect_served(&server.service, &counts(&[("GET", "200", before + 200)]));
    }
}

/// The agent killed under load: nobody notices, and the next one hears the rest.
#[test]
fn killed_under_load() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let h2load = need!(tools::find("h2load"));
    let server = need!(nginx("tls-kill", &certificate));
    let agent = Agent::start(&[READ]);
    let mut command = Command::new(&h2load);
    command
        .args(["-n", "20000", "-c", "20", "--h1"])
        .arg(format!("https://{}/ok", server.tcp()));
    let mut load = Process::start(command);
    std::thread::sleep(Duration::from_millis(700));
    let (_, _, turn) = agent.end(Signal::KILL);
    let agent = Agent::start_in_turn(turn, &[READ]);
    assert!(load.wait(LIMIT).success());
    let said = load.stdout();
    assert!(said.contains("20000 2xx"), "{said}");
    let service = names::unique("tls-after");
    need!(curl(&server, &service, "/ok"));
    agent.expect_sent(&service, &counts(&[("GET", "200", 1)]));
}

/// The probes of a library are attached one by one, under a load that is there already. Were requests
/// followed before answers, each would get a later one's, and the last of a connection would have none.
#[test]
fn nothing_is_shifted() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let h2load = need!(tools::find("h2load"));
    let server = need!(nginx("tls-joined", &certificate));
    let folder = tempfile::tempdir().expect("a temporary folder");
    need!(own_libssl(folder.path()));
    let (service, sent) = (names::unique("tls-joined-client"), 150_000);
    let turn = Turn::take();
    let mut command = Command::new(&h2load);
    command
        .args(["-n", &sent.to_string(), "-c", "8", "--h1"])
        .arg(format!("https://{}/ok", server.tcp()))
        .env("LD_LIBRARY_PATH", folder.path())
        .env("OTEL_SERVICE_NAME", &service);
    let mut load = Process::start(command);
    std::thread::sleep(Duration::from_millis(300));
    let agent = Agent::start_in_turn(turn, &[READ]);
    assert!(load.wait(LIMIT).success());
    let said = load.stdout();
    assert!(said.contains(&format!("{sent} 2xx")), "{said}");
    agent.barrier();
    let page = agent.page();
    for (family, service) in [(agent::CLIENT, &service), (agent::SERVER, &server.service)] {
        let outcomes = page.outcomes(family, &[("service_name", service)]);
        let seen: u64 = outcomes.values().sum();
        assert_eq!(
            outcomes.into_keys().collect::<Vec<_>>(),
            [("GET".to_owned(), "200".to_owned(), String::new())],
            "{family}"
        );
        assert!(seen < sent, "{family}: it began before the load");
    }
    // All CPUs are busy: the ring may be full for a while, but nothing else costs an exchange.
    for (reason, count) in page.by("hark_exchanges_lost_total", "reason", &[]) {
        assert!(count == 0 || reason == "ring_full", "{count} by {reason}");
    }
}

/// Switched off, nothing is attached to a library, and what is encrypted is counted as not read.
#[test]
fn off() {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let agent = Agent::start(&[("HARK_CAPTURE_TLS", "false")]);
    let server = need!(serve(&["serve", "threads"], &certificate));
    let (client, _) = need!(get("threads", &server, 2, 3));
    agent.barrier();
    assert!(agent.client_counts(&client).is_empty());
    assert!(agent.server_counts(&server.service).is_empty());
    wait::expect_within(LIMIT, "connections", &2, || {
        let labels = [("service_name", &*server.service), ("readable", "false")];
        agent.page().total("hark_tls_connections_total", &labels)
    });
    let ready = hark_tests::http::get(agent.address(), "/readyz", "*/*").expect("it answers");
    assert!(!ready.body.contains("tls_enter"), "{}", ready.body);
}

/// What Java encrypts cannot be read: its connections are counted, and said to be Java's. The other end of
/// them is read.
#[test]
fn java_is_not_readable() {
    const CONNECTIONS: u64 = 4;
    const REQUESTS: u64 = 5;
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let agent = Agent::start(&[READ]);
    let server = need!(nginx("tls-java", &certificate));
    let client = names::unique("tls-java-client");
    let mut java = Command::new(need!(tools::find("java")));
    java.args(["-XX:+UseSerialGC", "-Xmx256m"])
        .arg(tools::source("TlsClient.java"))
        .arg(server.tcp().port().to_string())
        .args([CONNECTIONS.to_string(), REQUESTS.to_string()])
        .env("OTEL_SERVICE_NAME", &client);
    let mut java = Process::start(java);
    let sent = java.line("SENT ");
    let sent = sent.unwrap_or_else(|error| panic!("{error}\n{}", java.stderr()));
    assert_eq!(sent, (CONNECTIONS * REQUESTS).to_string());
    let want = counts(&[("GET", "200", CONNECTIONS * REQUESTS)]);
    agent.expect_served(&server.service, &want);
    assert_eq!(agent.client_counts(&client), counts(&[]));
    let of_client = |readable: &str| {
        let labels = [
            ("service_name", client.as_str()),
            ("library", "java"),
            ("readable", readable),
        ];
        agent.page().total("hark_tls_connections_total", &labels)
    };
    wait::expect("connections of Java", &CONNECTIONS, || of_client("false"));
    assert_eq!(of_client("true"), 0);
    let (_, said) = agent::doctor(Command::new(tools::hark()), &[]);
    let line = said.lines().find(|line| line.contains("libjvm.so"));
    let line = line.unwrap_or_else(|| panic!("no line of Java in\n{said}"));
    assert!(line.contains("degraded") && line.contains("java"), "{line}");
}
