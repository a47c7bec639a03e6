//! Round trips, every check of the decoder, and arbitrary bytes.

use std::net::IpAddr;

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record, PIECE_LIMIT};
use hark_common::socket::{
    ARGS_LIMIT, AbortReason, AbortRecord, ENVIRON_LIMIT, HEAD_CAPTURE_LIMIT, HEAD_CHUNK,
    ProcessKey, ProcessRecord, RecordHeader, RequestBodyRecord, RequestRecord, ResponseRecord,
    SocketAddress, Task,
};
use hark_common::tls::{HELLO_LIMIT, TlsRecord};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{DecodeError, RECORD_LIMIT, Record, decode, encode};
use crate::exchange::{Endpoint, Role};

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes
}

fn task() -> impl Strategy<Value = Task> {
    any::<(u64, u32, u32, u64, [u8; 16], u32)>().prop_map(
        |(start_boottime_ns, pid, exec_id, cgroup_id, comm, tid)| Task {
            process: ProcessKey {
                start_boottime_ns,
                pid,
                exec_id,
            },
            cgroup_id,
            comm,
            tid,
            reserved: 0,
        },
    )
}

fn address() -> impl Strategy<Value = SocketAddress> {
    (
        any::<([u8; 16], u16, u32)>(),
        prop::sample::select(vec![1, 2, 10]),
    )
        .prop_map(|((addr, port, netns), family)| SocketAddress {
            addr,
            port,
            family,
            netns,
        })
}

fn endpoint(address: &SocketAddress) -> Endpoint {
    let ip = match (address.family, address.addr) {
        (1, _) => return Endpoint::Unix,
        (2, [a, b, c, d, ..]) | (10, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]) => {
            IpAddr::from([a, b, c, d])
        }
        (10, addr) => IpAddr::from(addr),
        (family, _) => panic!("no family {family}"),
    };
    Endpoint::Inet((ip, address.port).into())
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn reason() -> impl Strategy<Value = AbortReason> {
    prop_oneof![
        Just(AbortReason::PeerClosed),
        Just(AbortReason::LocalClosed),
        Just(AbortReason::Broken),
        Just(AbortReason::Lost),
    ]
}

fn header(kind: u32, size: usize, time_ns: u64, socket: u64) -> RecordHeader {
    RecordHeader {
        kind,
        size: u32::try_from(size).unwrap(),
        time_ns,
        socket,
    }
}

fn maybe_role() -> impl Strategy<Value = Option<Role>> {
    prop_oneof![Just(None), role().prop_map(Some)]
}

fn raw_role(role: Option<Role>) -> u8 {
    match role {
        None => 0,
        Some(Role::Server) => 1,
        Some(Role::Client) => 2,
    }
}

fn http2() -> impl Strategy<Value = (Record<'static>, Vec<u8>)> {
    (
        any::<(u64, u64, u64, u32, u16)>(),
        task(),
        address(),
        address(),
        maybe_role(),
        prop_oneof![Just(Http2Direction::Received), Just(Http2Direction::Sent)],
        vec(any::<u8>(), 0..=PIECE_LIMIT),
        any::<prop::sample::Index>(),
    )
        .prop_map(
            |(numbers, task, local, peer, role, direction, frames, continued)| {
                let (time_ns, socket, data_bytes, seq, flags) = numbers;
                let len = u32::try_from(frames.len()).unwrap();
                let record = Http2Record {
                    header: header(6, size_of::<Http2Record>() + frames.len(), time_ns, socket),
                    task,
                    local,
                    peer,
                    data_bytes,
                    seq,
                    len,
                    continued: u32::try_from(continued.index(frames.len() + 1)).unwrap(),
                    flags,
                    direction: match direction {
                        Http2Direction::Received => 0,
                        Http2Direction::Sent => 1,
                    },
                    role: raw_role(role),
                    origin: seq ^ 0x5555_5555,
                    reserved: 0,
                };
                (
                    Record::Http2 {
                        role,
                        direction,
                        local: endpoint(&local),
                        peer: endpoint(&peer),
                        record,
                        frames: &[],
                    },
                    frames,
                )
            },
        )
}

fn http2_end() -> impl Strategy<Value = (Record<'static>, Vec<u8>)> {
    (
        any::<(u64, u64, u64, [u32; 2], u32)>(),
        maybe_role(),
        reason(),
    )
        .prop_map(|(numbers, role, reason)| {
            let (time_ns, socket, last_ns, next_seq, errno) = numbers;
            let record = Http2EndRecord {
                header: header(7, size_of::<Http2EndRecord>(), time_ns, socket),
                last_ns,
                next_seq,
                errno,
                reason: reason as u16,
                role: raw_role(role),
                reserved: 0,
            };
            (
                Record::Http2End {
                    role,
                    reason,
                    record,
                },
                Vec::new(),
            )
        })
}

fn tls() -> impl Strategy<Value = (Record<'static>, Vec<u8>)> {
    (
        any::<(u64, u64, u8, u8)>(),
        task(),
        address(),
        address(),
        vec(any::<u8>(), 0..=HELLO_LIMIT),
    )
        .prop_map(|(numbers, task, local, peer, stream)| {
            let (time_ns, socket, library, sent) = numbers;
            let record = TlsRecord {
                header: header(8, size_of::<TlsRecord>() + stream.len(), time_ns, socket),
                task,
                local,
                peer,
                captured: u32::try_from(stream.len()).unwrap(),
                library,
                sent,
                reserved: 0,
            };
            let record = Record::Tls {
                local: endpoint(&local),
                peer: endpoint(&peer),
                record,
                stream: &[],
            };
            (record, stream)
        })
}

/// A record and the bytes that follow it, with every integer field set as the kernel side sets it.
fn record() -> impl Strategy<Value = (Record<'static>, Vec<u8>)> {
    let request = (
        any::<(u64, u64, u64, u32, u16, u32)>(),
        task(),
        address(),
        address(),
        role(),
        0..=(HEAD_CAPTURE_LIMIT - HEAD_CHUNK),
        vec(any::<u8>(), 0..=HEAD_CHUNK),
    )
        .prop_map(|(numbers, task, local, peer, role, offset, head)| {
            let (time_ns, socket, first_ns, index, flags, sequence) = numbers;
            let record = RequestRecord {
                header: header(1, size_of::<RequestRecord>() + head.len(), time_ns, socket),
                first_ns,
                task,
                local,
                peer,
                index,
                offset: u32::try_from(offset).unwrap(),
                captured: u32::try_from(head.len()).unwrap(),
                flags,
                role: if role == Role::Server { 1 } else { 2 },
                reserved: 0,
                sequence,
                reserved2: 0,
            };
            (
                Record::Request {
                    role,
                    local: endpoint(&local),
                    peer: endpoint(&peer),
                    record,
                    head: &[],
                },
                head,
            )
        });
    let response = (
        any::<(u64, u64, u64, u64, u64, u64, u32, u32, u16)>(),
        role(),
        100_u16..=999,
    )
        .prop_map(|(numbers, role, status)| {
            let (time_ns, socket, first_ns, last_ns, body, request_body, thread, index, flags) =
                numbers;
            let record = ResponseRecord {
                header: header(2, size_of::<ResponseRecord>(), time_ns, socket),
                first_ns,
                last_ns,
                body_bytes: body,
                request_body_bytes: request_body,
                thread,
                index,
                status,
                flags,
                role: if role == Role::Server { 1 } else { 2 },
                reserved: [0; 3],
            };
            (Record::Response { role, record }, Vec::new())
        });
    let abort = (
        any::<(u64, u64, u64, u64, u64, u64, u32, u16)>(),
        any::<(u32, u32)>().prop_filter("a range", |(from, to)| from < to),
        role(),
        reason(),
        prop_oneof![Just(0_u16), 100_u16..=999],
    )
        .prop_map(|(numbers, (from, to), role, reason, status)| {
            let (time_ns, socket, first_ns, last_ns, body, request_body, errno, flags) = numbers;
            let record = AbortRecord {
                header: header(3, size_of::<AbortRecord>(), time_ns, socket),
                first_ns,
                last_ns,
                body_bytes: body,
                request_body_bytes: request_body,
                from,
                to,
                errno,
                reason: match reason {
                    AbortReason::PeerClosed => 1,
                    AbortReason::LocalClosed => 2,
                    AbortReason::Broken => 3,
                    AbortReason::Lost => 4,
                },
                status,
                flags,
                role: if role == Role::Server { 1 } else { 2 },
                reserved: [0; 5],
            };
            (
                Record::Abort {
                    role,
                    reason,
                    record,
                },
                Vec::new(),
            )
        });
    let process = (
        any::<u64>(),
        task(),
        vec(any::<u8>(), 0..=ARGS_LIMIT),
        0..=ENVIRON_LIMIT,
    )
        .prop_map(|(time_ns, task, mut args, environ_len)| {
            let args_len = args.len();
            args.resize(args_len + environ_len, 7);
            let record = ProcessRecord {
                header: header(4, size_of::<ProcessRecord>() + args.len(), time_ns, 0),
                task,
                args_len: u32::try_from(args_len).unwrap(),
                environ_len: u32::try_from(environ_len).unwrap(),
            };
            (
                Record::Process {
                    record,
                    args: &[],
                    environ: &[],
                },
                args,
            )
        });
    let body = any::<(u64, u64, u64, u32)>().prop_map(|(time_ns, socket, body_bytes, index)| {
        let record = RequestBodyRecord {
            header: header(5, size_of::<RequestBodyRecord>(), time_ns, socket),
            body_bytes,
            index,
            reserved: 0,
        };
        (Record::RequestBody(record), Vec::new())
    });
    prop_oneof![
        request,
        response,
        abort,
        process,
        body,
        http2(),
        http2_end(),
        tls()
    ]
}

/// The record with the bytes that follow it put in their place.
fn with<'a>(record: Record<'_>, bytes: &'a [u8]) -> Record<'a> {
    match record {
        Record::Request {
            role,
            local,
            peer,
            record,
            ..
        } => Record::Request {
            role,
            local,
            peer,
            record,
            head: bytes,
        },
        Record::Process { record, .. } => {
            let (args, environ) = bytes.split_at(record.args_len as usize);
            Record::Process {
                record,
                args,
                environ,
            }
        }
        Record::Response { role, record } => Record::Response { role, record },
        Record::Abort {
            role,
            reason,
            record,
        } => Record::Abort {
            role,
            reason,
            record,
        },
        Record::RequestBody(record) => Record::RequestBody(record),
        Record::Http2 {
            role,
            direction,
            local,
            peer,
            record,
            ..
        } => Record::Http2 {
            role,
            direction,
            local,
            peer,
            record,
            frames: bytes,
        },
        Record::Tls {
            local,
            peer,
            record,
            ..
        } => Record::Tls {
            local,
            peer,
            record,
            stream: bytes,
        },
        Record::Http2End {
            role,
            reason,
            record,
        } => Record::Http2End {
            role,
            reason,
            record,
        },
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_whatever_the_alignment(
        (record, bytes) in record(),
        shift in 0_usize..8,
        slack in 0_usize..8,
    ) {
        let record = with(record, &bytes);
        let mut buffer = vec![0xa5; shift];
        encode(&record, &mut buffer);
        buffer.resize(buffer.len() + slack, 0xa5);
        prop_assert!(buffer.len() <= shift + slack + RECORD_LIMIT);
        prop_assert_eq!(decode(&buffer[shift..]), Ok(record));
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_short((record, bytes) in record(), cut in any::<prop::sample::Index>()) {
        let whole = encoded(&with(record, &bytes));
        let cut = cut.index(whole.len());
        match decode(&whole[..cut]) {
            Err(DecodeError::Short { have, need }) => {
                prop_assert_eq!(have, cut);
                prop_assert!(need > cut && need <= whole.len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in vec(any::<u8>(), 0..2048), kind in 0_u32..9) {
        let _ = decode(&bytes);
        // Again with a header that is believable, so that the bodies are reached.
        let mut bytes = bytes;
        let size = u32::try_from(bytes.len()).unwrap();
        if bytes.len() >= 8 {
            bytes[..4].copy_from_slice(&kind.to_ne_bytes());
            bytes[4..8].copy_from_slice(&size.to_ne_bytes());
        }
        if let Ok(record) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&record, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

fn response() -> Vec<u8> {
    encoded(&Record::Response {
        role: Role::Server,
        record: ResponseRecord {
            status: 200,
            ..ResponseRecord::default()
        },
    })
}

fn patched(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// Offsets are those of the `#[repr(C)]` structures, by `offset_of!`, not by the encoder.
#[test]
fn every_field_that_must_be_checked_is() {
    use std::mem::offset_of;

    let kind = offset_of!(ResponseRecord, header) + offset_of!(RecordHeader, kind);
    assert_eq!(
        decode(&patched(response(), kind, &99_u32.to_ne_bytes())),
        Err(DecodeError::Kind(99))
    );
    let size = offset_of!(RecordHeader, size);
    assert_eq!(
        decode(&patched(response(), size, &73_u32.to_ne_bytes())),
        Err(DecodeError::Short { have: 72, need: 73 })
    );
    let mut longer = patched(response(), size, &80_u32.to_ne_bytes());
    longer.resize(80, 0);
    assert_eq!(
        decode(&longer),
        Err(DecodeError::Size {
            size: 80,
            content: 72
        })
    );
    let role = offset_of!(ResponseRecord, role);
    assert_eq!(
        decode(&patched(response(), role, &[3])),
        Err(DecodeError::Role(3))
    );
    let status = offset_of!(ResponseRecord, status);
    assert_eq!(
        decode(&patched(response(), status, &99_u16.to_ne_bytes())),
        Err(DecodeError::Status(99))
    );

    let abort = encoded(&Record::Abort {
        role: Role::Client,
        reason: AbortReason::Broken,
        record: AbortRecord {
            from: 4,
            to: 5,
            ..AbortRecord::default()
        },
    });
    let reason = offset_of!(AbortRecord, reason);
    assert_eq!(
        decode(&patched(abort.clone(), reason, &0_u16.to_ne_bytes())),
        Err(DecodeError::Reason(0))
    );
    let to = offset_of!(AbortRecord, to);
    assert_eq!(
        decode(&patched(abort, to, &4_u32.to_ne_bytes())),
        Err(DecodeError::EmptyRange { from: 4, to: 4 })
    );

    let head = [b'x'; HEAD_CHUNK];
    let unix = SocketAddress {
        family: 1,
        ..SocketAddress::default()
    };
    let request = encoded(&Record::Request {
        role: Role::Server,
        local: Endpoint::Unix,
        peer: Endpoint::Unix,
        record: RequestRecord {
            local: unix,
            peer: unix,
            ..RequestRecord::default()
        },
        head: &head,
    });
    let family = offset_of!(RequestRecord, peer) + offset_of!(SocketAddress, family);
    assert_eq!(
        decode(&patched(request.clone(), family, &16_u16.to_ne_bytes())),
        Err(DecodeError::Family(16))
    );
    let captured = offset_of!(RequestRecord, captured);
    assert_eq!(
        decode(&patched(request.clone(), captured, &1025_u32.to_ne_bytes())),
        Err(DecodeError::TooLong {
            length: 1025,
            limit: 1024
        })
    );
    let offset = offset_of!(RequestRecord, offset);
    assert_eq!(
        decode(&patched(request, offset, &u32::MAX.to_ne_bytes())),
        Err(DecodeError::TooLong {
            length: 4_294_967_295 + 1024,
            limit: 4096
        })
    );

    let process = encoded(&Record::Process {
        record: ProcessRecord::default(),
        args: b"nginx\0",
        environ: b"PATH=/bin\0",
    });
    let args_len = offset_of!(ProcessRecord, args_len);
    assert_eq!(
        decode(&patched(process, args_len, &513_u32.to_ne_bytes())),
        Err(DecodeError::TooLong {
            length: 513,
            limit: 512
        })
    );
}

#[test]
fn every_field_of_http2_that_must_be_checked_is() {
    use std::mem::offset_of;

    let unix = SocketAddress {
        family: 1,
        ..SocketAddress::default()
    };
    let frames = [0; PIECE_LIMIT];
    let piece = encoded(&Record::Http2 {
        role: None,
        direction: Http2Direction::Sent,
        local: Endpoint::Unix,
        peer: Endpoint::Unix,
        record: Http2Record {
            local: unix,
            peer: unix,
            ..Http2Record::default()
        },
        frames: &frames,
    });
    let limit = u32::try_from(PIECE_LIMIT).unwrap();
    assert!(decode(&piece).is_ok());
    let continued = offset_of!(Http2Record, continued);
    assert_eq!(
        decode(&patched(
            piece.clone(),
            continued,
            &(limit + 1).to_ne_bytes()
        )),
        Err(DecodeError::Continued {
            continued: limit + 1,
            len: limit
        })
    );
    let direction = offset_of!(Http2Record, direction);
    assert_eq!(
        decode(&patched(piece.clone(), direction, &[2])),
        Err(DecodeError::Direction(2))
    );
    let role = offset_of!(Http2Record, role);
    assert_eq!(
        decode(&patched(piece.clone(), role, &[3])),
        Err(DecodeError::Role(3))
    );
    let len = offset_of!(Http2Record, len);
    assert_eq!(
        decode(&patched(piece.clone(), len, &(limit + 1).to_ne_bytes())),
        Err(DecodeError::TooLong {
            length: u64::from(limit) + 1,
            limit: PIECE_LIMIT
        })
    );
    assert_eq!(
        decode(&patched(piece, len, &(limit - 1).to_ne_bytes())),
        Err(DecodeError::Size {
            size: size_of::<Http2Record>() + PIECE_LIMIT,
            content: (size_of::<Http2Record>() + PIECE_LIMIT) as u64 - 1
        })
    );
    let end = encoded(&Record::Http2End {
        role: Some(Role::Client),
        reason: AbortReason::PeerClosed,
        record: Http2EndRecord::default(),
    });
    let reason = offset_of!(Http2EndRecord, reason);
    assert_eq!(
        decode(&patched(end, reason, &9_u16.to_ne_bytes())),
        Err(DecodeError::Reason(9))
    );
}

/// The bytes of a structure as the kernel side would write them, laid out by hand.
#[test]
fn the_layout_is_that_of_the_structures() {
    use std::mem::offset_of;

    let mut bytes = vec![0_u8; size_of::<RequestRecord>()];
    let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    set(offset_of!(RecordHeader, kind), &1_u32.to_ne_bytes());
    set(
        offset_of!(RecordHeader, size),
        &u32::try_from(size_of::<RequestRecord>() + 3)
            .unwrap()
            .to_ne_bytes(),
    );
    set(offset_of!(RecordHeader, time_ns), &11_u64.to_ne_bytes());
    set(offset_of!(RecordHeader, socket), &12_u64.to_ne_bytes());
    set(offset_of!(RequestRecord, first_ns), &13_u64.to_ne_bytes());
    let task = offset_of!(RequestRecord, task);
    let process = task + offset_of!(Task, process);
    set(
        process + offset_of!(ProcessKey, start_boottime_ns),
        &14_u64.to_ne_bytes(),
    );
    set(process + offset_of!(ProcessKey, pid), &15_u32.to_ne_bytes());
    set(
        process + offset_of!(ProcessKey, exec_id),
        &16_u32.to_ne_bytes(),
    );
    set(task + offset_of!(Task, cgroup_id), &17_u64.to_ne_bytes());
    set(task + offset_of!(Task, comm), b"nginx");
    set(task + offset_of!(Task, tid), &18_u32.to_ne_bytes());
    let local = offset_of!(RequestRecord, local);
    set(local + offset_of!(SocketAddress, addr), &[127, 0, 0, 1]);
    set(
        local + offset_of!(SocketAddress, port),
        &8080_u16.to_ne_bytes(),
    );
    set(
        local + offset_of!(SocketAddress, family),
        &2_u16.to_ne_bytes(),
    );
    set(
        local + offset_of!(SocketAddress, netns),
        &19_u32.to_ne_bytes(),
    );
    let peer = offset_of!(RequestRecord, peer);
    set(peer + offset_of!(SocketAddress, addr), &[10, 0, 0, 9]);
    set(
        peer + offset_of!(SocketAddress, port),
        &4711_u16.to_ne_bytes(),
    );
    set(
        peer + offset_of!(SocketAddress, family),
        &2_u16.to_ne_bytes(),
    );
    set(offset_of!(RequestRecord, index), &20_u32.to_ne_bytes());
    set(offset_of!(RequestRecord, offset), &21_u32.to_ne_bytes());
    set(offset_of!(RequestRecord, captured), &3_u32.to_ne_bytes());
    set(offset_of!(RequestRecord, flags), &1_u16.to_ne_bytes());
    set(offset_of!(RequestRecord, role), &[1]);
    set(offset_of!(RequestRecord, sequence), &22_u32.to_ne_bytes());
    bytes.extend_from_slice(b"GET");

    let mut comm = [0; 16];
    comm[..5].copy_from_slice(b"nginx");
    let address = |addr: [u8; 4], port, netns| SocketAddress {
        addr: [
            addr[0], addr[1], addr[2], addr[3], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        port,
        family: 2,
        netns,
    };
    let expected = Record::Request {
        role: Role::Server,
        local: Endpoint::Inet(([127, 0, 0, 1], 8080).into()),
        peer: Endpoint::Inet(([10, 0, 0, 9], 4711).into()),
        record: RequestRecord {
            header: RecordHeader {
                kind: 1,
                size: 155,
                time_ns: 11,
                socket: 12,
            },
            first_ns: 13,
            task: Task {
                process: ProcessKey {
                    start_boottime_ns: 14,
                    pid: 15,
                    exec_id: 16,
                },
                cgroup_id: 17,
                comm,
                tid: 18,
                reserved: 0,
            },
            local: address([127, 0, 0, 1], 8080, 19),
            peer: address([10, 0, 0, 9], 4711, 0),
            index: 20,
            offset: 21,
            captured: 3,
            flags: 1,
            role: 1,
            reserved: 0,
            sequence: 22,
            reserved2: 0,
        },
        head: b"GET",
    };
    assert_eq!(decode(&bytes), Ok(expected));
}

#[test]
fn reasons_are_all_listed_once() {
    let errors = [
        DecodeError::Short { have: 0, need: 0 },
        DecodeError::Size {
            size: 0,
            content: 0,
        },
        DecodeError::Kind(0),
        DecodeError::Role(0),
        DecodeError::Reason(0),
        DecodeError::Family(0),
        DecodeError::Status(0),
        DecodeError::TooLong {
            length: 0,
            limit: 0,
        },
        DecodeError::EmptyRange { from: 0, to: 0 },
        DecodeError::Direction(0),
        DecodeError::Continued {
            continued: 0,
            len: 0,
        },
    ];
    let reasons: Vec<_> = errors.iter().map(DecodeError::reason).collect();
    assert_eq!(reasons, DecodeError::REASONS);
}

#[test]
fn an_ipv4_mapped_address_is_ipv4() {
    let v6 = |text: &str| SocketAddress {
        addr: text.parse::<std::net::Ipv6Addr>().unwrap().octets(),
        port: 443,
        family: 10,
        netns: 0,
    };
    let record = RequestRecord {
        local: v6("::ffff:192.0.2.7"),
        peer: v6("2001:db8::1"),
        ..RequestRecord::default()
    };
    let bytes = encoded(&Record::Request {
        role: Role::Client,
        local: Endpoint::Unix,
        peer: Endpoint::Unix,
        record,
        head: b"",
    });
    match decode(&bytes) {
        Ok(Record::Request { local, peer, .. }) => {
            assert_eq!(local, Endpoint::Inet("192.0.2.7:443".parse().unwrap()));
            assert_eq!(peer, Endpoint::Inet("[2001:db8::1]:443".parse().unwrap()));
        }
        other => panic!("{other:?}"),
    }
}
