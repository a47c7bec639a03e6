//! HTTP/2 as the kernel side hands it over: both ends of each connection tell the same frames, and
//! as many requests, responses and bytes of DATA as the client counted.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use hark_common::http2::flag;
use hark_tests::process::Process;
use hark_tests::recording::{Flow, Frame, Key, Recorder};
use hark_tests::skip::Skip;
use hark_tests::{agent, names, need, tools, wait};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// nghttpd, which serves a folder with one file in it.
struct Nghttpd {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Nghttpd {
    fn start(file_bytes: usize) -> Result<Self, Skip> {
        let program = tools::find("nghttpd")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("file"), vec![b'x'; file_bytes]).expect("our own folder");
        let address = names::free_address();
        let mut command = Command::new(program);
        command
            .args(["--no-tls", "-d"])
            .arg(folder.path())
            .args(["-a", &address.ip().to_string()])
            .arg(address.port().to_string());
        let process = Process::start(command);
        wait::until(Duration::from_secs(10), "nghttpd to listen", || {
            TcpStream::connect(address).ok()
        });
        Ok(Self {
            port: address.port(),
            _process: process,
            _folder: folder,
        })
    }

    fn load(&self, args: &[&str]) -> Result<Load, Skip> {
        let mut command = Command::new(tools::find("h2load")?);
        command
            .args(args)
            .arg(format!("http://127.0.0.1:{}/file", self.port));
        Ok(Load::read(&Process::run(command, Duration::from_secs(60))))
    }
}

/// What h2load says it did.
#[derive(Debug)]
struct Load {
    succeeded: u64,
    /// Bytes of header blocks that it received.
    headers: u64,
    /// Bytes of DATA that it received.
    data: u64,
}

impl Load {
    fn read(text: &str) -> Self {
        let line = |prefix: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(prefix));
            found.unwrap_or_else(|| panic!("no {prefix:?} in {text}"))
        };
        // "…, 1000 succeeded, 0 failed, …": the number before the word.
        let succeeded = line("requests:")
            .split(", ")
            .find_map(|part| part.strip_suffix(" succeeded"))
            .and_then(|number| number.parse().ok());
        // "32.61KB (33388) total, 9.07KB (9292) headers …, 5.86KB (6000) data": in parentheses.
        let exact = |word: &str| {
            line("traffic:")
                .split(", ")
                .find(|part| part.contains(word))
                .and_then(|part| part.split(['(', ')']).nth(1)?.parse().ok())
        };
        let read = || -> Option<Self> {
            Some(Self {
                succeeded: succeeded?,
                headers: exact(") headers")?,
                data: exact(") data")?,
            })
        };
        read().unwrap_or_else(|| panic!("not as h2load writes: {text}"))
    }
}

/// The frames of each direction, of the sending and the receiving end; they must be the same.
#[track_caller]
fn both_ends(flows: &BTreeMap<Key, Flow>, sent_to: impl Fn(&Key) -> bool) -> Vec<Vec<Frame>> {
    let senders = flows.iter().filter(|(key, _)| key.sent && sent_to(key));
    senders
        .map(|(key, flow)| {
            let other = Key {
                local: key.peer,
                peer: key.local,
                sent: false,
            };
            let frames = flow.frames();
            // DATA without END_STREAM may be summed differently where one end sees the system
            // calls of the other in other pieces; it is not: sums go by the frames alone.
            assert_eq!(frames, flows[&other].frames(), "{key:?}");
            frames
        })
        .collect()
}

fn total<'a>(directions: &'a [Vec<Frame>], of: impl Fn(&Frame) -> u64 + 'a) -> u64 {
    directions.iter().flatten().map(of).sum()
}

#[track_caller]
fn nothing_lost(flows: &BTreeMap<Key, Flow>) {
    for (key, flow) in flows {
        for piece in &flow.pieces {
            assert_eq!(piece.flags & (flag::CUT | flag::LOST), 0, "{key:?}");
        }
    }
}

/// Whole connections: every one is known from its beginning, and its end is told.
#[test]
fn h2load_and_nghttpd_count_the_same() {
    need!(agent::root());
    let server = need!(Nghttpd::start(5000));
    let recorder = Recorder::start();
    let load = need!(server.load(&["-n3000", "-c5", "-m20"]));
    assert_eq!(load.succeeded, 3000);
    std::thread::sleep(Duration::from_secs(1));
    let flows = recorder.end(server.port);
    nothing_lost(&flows);
    assert_eq!(flows.len(), 4 * 5, "two directions of two ends");
    let requests = both_ends(&flows, |key| key.peer == server.port);
    let responses = both_ends(&flows, |key| key.local == server.port);
    let ends = |frame: &Frame| u64::from(frame.flags & END_STREAM != 0);
    let headers = |frame: &Frame| u64::from(frame.kind == HEADERS);
    let data = |frame: &Frame| u64::from(frame.kind == DATA);
    assert_eq!(total(&requests, |f| headers(f) * ends(f)), 3000);
    assert_eq!(total(&responses, headers), 3000);
    assert_eq!(total(&responses, |f| data(f) * ends(f)), 3000);
    assert_eq!(total(&responses, |f| data(f) * f.length as u64), load.data);
    assert_eq!(
        total(&responses, |f| headers(f) * f.length as u64),
        load.headers
    );
    for (key, flow) in &flows {
        let serves = key.local == server.port;
        let role = if serves { 1 } else { 2 };
        let starts = |flags: u16| flags & flag::START != 0;
        assert_eq!(
            flow.pieces
                .iter()
                .filter(|piece| starts(piece.flags))
                .count(),
            1,
            "{key:?} is known from its beginning"
        );
        // A server may speak before its client does, and its role is not known then.
        let known = flow.pieces.iter().skip_while(|piece| !starts(piece.flags));
        assert!(known.into_iter().all(|piece| piece.role == role), "{key:?}");
        let [(_, next)] = flow.ends[..] else {
            panic!("{key:?} ends {} times", flow.ends.len())
        };
        assert_eq!(next as usize, flow.pieces.len(), "{key:?}");
    }
    let records: usize = flows.values().map(|flow| flow.pieces.len()).sum();
    // A record per system call that moved something that matters: no more than one for each end of
    // each message.
    assert!(records <= 4 * 3000 + 100, "{records} records");
}

/// Bodies cost next to nothing: bytes are counted, not handed over.
#[test]
fn large_bodies_are_counted() {
    need!(agent::root());
    let server = need!(Nghttpd::start(3_000_000));
    let recorder = Recorder::start();
    let load = need!(server.load(&["-n40", "-c2", "-m4", "-w24", "-W24"]));
    assert_eq!((load.succeeded, load.data), (40, 120_000_000));
    std::thread::sleep(Duration::from_secs(1));
    let flows = recorder.end(server.port);
    nothing_lost(&flows);
    let responses = both_ends(&flows, |key| key.local == server.port);
    let data = |frame: &Frame| u64::from(frame.kind == DATA) * frame.length as u64;
    assert_eq!(total(&responses, data), load.data);
    let counted = flows.values().map(|flow| {
        let last = flow.pieces.last();
        last.map_or(0, |piece| piece.data_bytes)
    });
    assert_eq!(counted.sum::<u64>(), 2 * load.data);
    let bytes: usize = flows
        .values()
        .flat_map(|flow| &flow.pieces)
        .map(|piece| piece.frames.len())
        .sum();
    assert!(bytes < 100_000, "{bytes} bytes of frames");
}

/// The recorder comes when the connection is under way: what is told from then on is true.
#[test]
fn joined_in_the_middle() {
    need!(agent::root());
    let server = need!(Nghttpd::start(100));
    let mut command = Command::new(need!(tools::find("h2load")));
    command
        .args(["-n1000000", "-c1", "-m4", "--rps=400"])
        .arg(format!("http://127.0.0.1:{}/file", server.port));
    let load = Process::start(command);
    std::thread::sleep(Duration::from_millis(500));
    let recorder = Recorder::start();
    std::thread::sleep(Duration::from_secs(2));
    drop(load);
    let flows = recorder.end(server.port);
    nothing_lost(&flows);
    assert_eq!(flows.len(), 4);
    for (key, flow) in &flows {
        let flags: Vec<u16> = flow.pieces.iter().map(|piece| piece.flags).collect();
        // Where it began is told if nothing that matters was left out since.
        assert_eq!(flags[0] & !flag::ORIGIN, flag::RESYNC, "{key:?}");
        assert!(flags[1..].iter().all(|flags| *flags == 0), "{key:?}");
        assert!(flow.pieces.iter().all(|piece| piece.role == 0));
    }
    // One end may have been joined earlier than the other: the later one's frames are the other's last.
    for (key, flow) in flows.iter().filter(|(key, _)| key.sent) {
        let other = Key {
            local: key.peer,
            peer: key.local,
            sent: false,
        };
        let (one, two) = (flow.frames(), flows[&other].frames());
        let streams = |frames: &[Frame]| -> Vec<u32> {
            let headers = frames.iter().filter(|frame| frame.kind == HEADERS);
            headers.map(|frame| frame.stream).collect()
        };
        let (one, two) = (streams(&one), streams(&two));
        let place = |of: u32, streams: &[u32]| streams.iter().position(|stream| *stream == of);
        let (one, two) = match (place(two[0], &one), place(one[0], &two)) {
            (Some(later), _) => (&one[later..], &two[..]),
            (None, Some(later)) => (&one[..], &two[later..]),
            (None, None) => panic!("{key:?}: the ends have nothing in common"),
        };
        // Killed in the middle: what was sent last was never read.
        let until = one.len().min(two.len());
        assert!(until > 500, "{until} requests");
        assert_eq!(one[..until], two[..until], "{key:?}");
    }
}
