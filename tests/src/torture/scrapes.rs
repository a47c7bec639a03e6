//! The agent's own endpoints, by those who mean no good, under load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::agent::{self, Agent};
use crate::http;
use crate::load::Plan;
use crate::metrics::Page;
use crate::skip::Skip;
use crate::torture::books::Books;
use crate::torture::speed::{distinct, nginx};
use crate::torture::{Outcome, Scale};

/// Clients at once.
const CLIENTS: u64 = 50;

/// Fifty at once get a whole page or are refused, and each refusal is counted; a slow one and rubbish
/// cost nobody anything.
pub(super) fn all(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[]);
    let mut books = Books::open(&agent);
    let refused_of = |page: &Page| page.total("hark_http_refused_total", &[]);
    let before = refused_of(&agent.page());
    let address = agent.address();
    let running = Plan::new(&nginx.target, distinct())
        .connections(4)
        .rounds(scale.of(200, 3000))
        .start();
    let mut refused = 0;
    for _ in 0..scale.of(2, 40) {
        refused += std::thread::scope(|scope| {
            let slow = scope.spawn(|| slowly(address, scale));
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| scrape(address)))
                .collect();
            for text in RUBBISH {
                rubbish(address, text);
            }
            let refused = clients
                .into_iter()
                .map(|client| u64::from(!client.join().expect("a page, or a refusal")))
                .sum::<u64>();
            refused + u64::from(!slow.join().expect("a page, or a refusal"))
        });
    }
    let sent = running.finish();
    books.load(&nginx, &sent);
    let outcome = books.close(&agent);
    // Rubbish may be refused as well, and is not told.
    let counted = refused_of(&agent.page()) - before;
    assert!(counted >= refused, "{refused} refused, {counted} counted");
    Ok(outcome)
}

/// True for a whole page, false for a refusal.
fn scrape(address: SocketAddr) -> bool {
    let Ok(response) = http::get(address, "/metrics", "text/plain;version=0.0.4") else {
        // Closed at once: there were too many to be told.
        return false;
    };
    if response.status == 503 {
        return false;
    }
    assert_eq!(response.status, 200, "{}", response.body);
    let page = Page::parse(&response.body).expect("a whole page");
    assert!(!page.0.is_empty(), "an empty page");
    true
}

/// Reads a few bytes, one at a time, and goes away in the middle.
fn slowly(address: SocketAddr, scale: Scale) -> bool {
    let mut stream = TcpStream::connect(address).expect("the agent listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout above zero");
    if stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .is_err()
    {
        return false;
    }
    let mut said = Vec::new();
    for _ in 0..scale.of(12, 30) {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => said.push(byte[0]),
            _ => break,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    said.starts_with(b"HTTP/1.1 200")
}

/// What is no request of HTTP/1.1.
const RUBBISH: [&[u8]; 5] = [
    b"\0\x01\x02\xff\xfe\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET /metrics HTTP/1.1\r\nX: ",
];

/// Says it, and a great deal after it, and hears what comes.
fn rubbish(address: SocketAddr, text: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the agent listens");
    // It may be closed at any of these.
    let _ = stream.write_all(text);
    let _ = stream.write_all(&[b'x'; 100_000]);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let _ = stream.read(&mut [0; 4096]);
}
