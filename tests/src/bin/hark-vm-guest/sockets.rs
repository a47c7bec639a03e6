//! Each exchange is on the socket that it was on: both ends have the other's address, as the client's
//! own system calls tell them, and are one trace, for they were found to be one connection.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use hark_tests::agent::Agent;
use hark_tests::wait;

use crate::heard::{CHECKS, start};
use crate::{PATIENCE, log};

/// Connections of each family.
const CONNECTIONS: usize = 8;

/// One line of the log.
#[derive(Debug, serde::Deserialize)]
struct Line {
    role: String,
    url_path: String,
    network_peer_address: Option<String>,
    network_peer_port: Option<u16>,
    trace_id: String,
}

/// Over IPv4 and IPv6; gives how many connections were compared.
pub(crate) fn check(agent: &Agent) -> String {
    let mut compared = 0;
    for check in &CHECKS[..2] {
        let server = start(check);
        let lost = agent.lost();
        for number in 0..CONNECTIONS {
            let path = format!("/socket-{}-{number}", server.service);
            let (own, peer) = ask(server.tcp(), &path);
            let heard = wait::until(PATIENCE, "both ends of the exchange", || {
                // What the kernel did not hand over is counted, and judged elsewhere.
                let all: Vec<Line> = log::lines();
                let heard: Vec<_> = all
                    .into_iter()
                    .filter(|line| line.url_path == path)
                    .collect();
                (heard.len() == 2 || agent.lost() > lost).then_some(heard)
            });
            if agent.lost() > lost {
                continue;
            }
            let at = |role: &str| {
                let line = heard.iter().find(|line| line.role == role);
                let line = line.unwrap_or_else(|| panic!("no {role} in {heard:?}"));
                let address = line.network_peer_address.as_deref()?.parse().ok()?;
                Some(SocketAddr::new(address, line.network_peer_port?))
            };
            assert_eq!(
                (at("client"), at("server")),
                (Some(peer), Some(own)),
                "{path}"
            );
            let traces: BTreeSet<_> = heard.iter().map(|line| &line.trace_id).collect();
            assert_eq!(traces.len(), 1, "{path}: not one connection: {heard:?}");
            compared += 1;
        }
    }
    format!("{compared} connections")
}

/// One request on a connection of its own; gives the addresses of its two ends.
fn ask(server: SocketAddr, path: &str) -> (SocketAddr, SocketAddr) {
    let mut stream = TcpStream::connect(server).expect("our own server");
    let ends = (
        stream.local_addr().expect("it is connected"),
        stream.peer_addr().expect("it is connected"),
    );
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n").expect("room for a request");
    let mut answer = [0; 4096];
    let mut have = 0;
    while !answer[..have].ends_with(b"hello") {
        let read = stream.read(&mut answer[have..]).expect("an answer");
        assert!(read > 0, "it ended early");
        have += read;
    }
    ends
}
