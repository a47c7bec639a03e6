//! What the kernel side handed over, by `hark record --raw`: the capture file, read anew.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::mem::offset_of;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record};
use hark_common::socket::{RecordHeader, RecordKind, SocketAddress};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::turn::Turn;
use crate::{tools, wait};

/// `hark record --raw`, under way.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    file: PathBuf,
    _folder: TempDir,
    _turn: Turn,
}

impl Recorder {
    /// Waits for the turn, and starts one. It listens when this returns.
    ///
    /// # Panics
    /// If it does not after a minute.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let turn = Turn::take();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("capture.hark");
        let mut command = Command::new(tools::hark());
        command
            .env_remove("HARK_BIN")
            .env("HARK_RUN_DIR", folder.path())
            .args(["record", "--raw"])
            .arg(&file);
        let mut process = Process::start(command);
        // No page says when it listens. Requests, again and again, do; so many that the recorder, which
        // writes in large pieces, must write each time.
        wait::until(Duration::from_secs(60), "the recording to grow", || {
            assert_eq!(process.ended(), None, "{}", process.stderr());
            let size = || std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
            let before = size();
            (0..200).for_each(|_| exchange());
            std::thread::sleep(Duration::from_millis(300));
            (before > 0 && size() > before).then_some(())
        });
        Self {
            process,
            file,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Ends it, and gives what it recorded of HTTP/2 connections that have this port at either end.
    ///
    /// # Panics
    /// If it fails, or the file is not what it should be.
    #[must_use]
    #[track_caller]
    pub fn end(mut self, port: u16) -> BTreeMap<Key, Flow> {
        self.process.signal(Signal::INT);
        let status = self.process.wait(Duration::from_secs(20));
        assert!(status.success(), "{status}: {}", self.process.stderr());
        let said = self.process.stderr();
        assert!(said.contains(" 0 lost "), "{said}");
        flows(&std::fs::read(&self.file).expect("the capture"), port)
    }
}

/// One direction of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Port of this end.
    pub local: u16,
    /// Port of the other end.
    pub peer: u16,
    /// Whether it is the sending direction.
    pub sent: bool,
}

/// A record with its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number in its direction.
    pub seq: u32,
    /// Flags of the record.
    pub flags: u16,
    /// See `Http2Record`.
    pub continued: usize,
    /// See `Http2Record`.
    pub role: u8,
    /// See `Http2Record`.
    pub data_bytes: u64,
    /// What follows the record.
    pub frames: Vec<u8>,
}

/// All of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The records in order.
    pub pieces: Vec<Piece>,
    /// Reason and next number of the record of the connection's end.
    pub ends: Vec<(u16, u32)>,
}

/// A frame as it is handed over: DATA without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream.
    pub stream: u32,
    /// Length as the header says.
    pub length: usize,
    /// Payload; that of DATA is what is said of its messages.
    pub payload: Vec<u8>,
}

impl Flow {
    /// The frames of all records, put together.
    ///
    /// # Panics
    /// If a record is missing, or they are not frames.
    #[must_use]
    #[track_caller]
    pub fn frames(&self) -> Vec<Frame> {
        let mut bytes = Vec::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            assert_eq!(piece.seq as usize, number, "a record is missing");
            bytes.extend(&piece.frames);
        }
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while let Some((header, after)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let kind = header[3];
            // DATA has, in place of its payload, what is said of its messages.
            let (payload, after) = after.split_at(if kind == 0 { 4 } else { length });
            rest = after;
            frames.push(Frame {
                kind,
                flags: header[4],
                stream: u32::from_be_bytes([header[5], header[6], header[7], header[8]]),
                length,
                payload: payload.to_vec(),
            });
        }
        assert!(rest.is_empty(), "half a frame header at the end");
        frames
    }
}

/// The records of a capture file, as `agent/src/capture.rs` describes it.
fn flows(file: &[u8], port: u16) -> BTreeMap<Key, Flow> {
    assert_eq!(&file[..8], b"HARKCAP\n");
    let mut rest = &file[16 + u32_at(file, 12) as usize..];
    let mut flows: BTreeMap<Key, Flow> = BTreeMap::new();
    let mut sockets: BTreeMap<u64, (u16, u16)> = BTreeMap::new();
    while !rest.is_empty() {
        let (record, after) = rest[4..].split_at(u32_at(rest, 0) as usize);
        rest = after;
        let kind = u32_at(record, offset_of!(RecordHeader, kind));
        let socket = u64_at(record, offset_of!(RecordHeader, socket));
        if kind == RecordKind::Http2 as u32 {
            let port_of = |address| u16_at(record, address + offset_of!(SocketAddress, port));
            let ports = (
                port_of(offset_of!(Http2Record, local)),
                port_of(offset_of!(Http2Record, peer)),
            );
            if ports.0 != port && ports.1 != port {
                continue;
            }
            sockets.insert(socket, ports);
            let direction = record[offset_of!(Http2Record, direction)];
            let flow = flows.entry(Key {
                local: ports.0,
                peer: ports.1,
                sent: direction == Http2Direction::Sent as u8,
            });
            flow.or_default().pieces.push(Piece {
                seq: u32_at(record, offset_of!(Http2Record, seq)),
                flags: u16_at(record, offset_of!(Http2Record, flags)),
                continued: u32_at(record, offset_of!(Http2Record, continued)) as usize,
                role: record[offset_of!(Http2Record, role)],
                data_bytes: u64_at(record, offset_of!(Http2Record, data_bytes)),
                frames: record[size_of::<Http2Record>()..].to_vec(),
            });
        } else if kind == RecordKind::Http2End as u32
            && let Some((local, peer)) = sockets.get(&socket)
        {
            for (number, sent) in [false, true].into_iter().enumerate() {
                let key = Key {
                    local: *local,
                    peer: *peer,
                    sent,
                };
                let reason = u16_at(record, offset_of!(Http2EndRecord, reason));
                let next = offset_of!(Http2EndRecord, next_seq) + 4 * number;
                let next = u32_at(record, next);
                flows.entry(key).or_default().ends.push((reason, next));
            }
        }
    }
    flows
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// One exchange of HTTP/1, both ends in this thread.
fn exchange() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let mut client = TcpStream::connect(address).expect("it listens");
    let (mut server, _) = listener.accept().expect("one has come");
    let mut buffer = [0; 256];
    client
        .write_all(b"GET /marker HTTP/1.1\r\nhost: x\r\n\r\n")
        .and_then(|()| server.read(&mut buffer).map(drop))
        .and_then(|()| server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"))
        .and_then(|()| client.read(&mut buffer).map(drop))
        .expect("both ends are ours");
}
