//! Bytes to records.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record, PIECE_LIMIT};
use hark_common::socket::{
    ARGS_LIMIT, AbortReason, AbortRecord, ENVIRON_LIMIT, HEAD_CAPTURE_LIMIT, HEAD_CHUNK,
    ProcessKey, ProcessRecord, RecordHeader, RecordKind, RequestBodyRecord, RequestRecord,
    ResponseRecord, SocketAddress, SocketRole, Task,
};
use hark_common::tls::{HELLO_LIMIT, TlsRecord};

use super::{DecodeError, Record};
use crate::exchange::{Endpoint, Role};

/// Decodes one record, laid out as the kernel side of this machine wrote it (native byte order).
///
/// # Errors
///
/// A [`DecodeError`] that says what is wrong; no input makes it panic.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = Fields { bytes, read: 0 };
    let header = header(&mut fields)?;
    let size = usize::try_from(header.size).unwrap_or(usize::MAX);
    let bytes = bytes.get(..size).ok_or(DecodeError::Short {
        have: bytes.len(),
        need: size,
    })?;
    match kind(header.kind)? {
        RecordKind::Request => request(header, bytes),
        RecordKind::Response => response(header, bytes),
        RecordKind::Abort => abort(header, bytes),
        RecordKind::Process => process(header, bytes),
        RecordKind::RequestBody => request_body(header, bytes),
        RecordKind::Http2 => http2(header, bytes),
        RecordKind::Http2End => http2_end(header, bytes),
        RecordKind::Tls => tls(header, bytes),
    }
}

fn request(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = RequestRecord {
        header,
        first_ns: fields.u64()?,
        task: task(&mut fields)?,
        local: address(&mut fields)?,
        peer: address(&mut fields)?,
        index: fields.u32()?,
        offset: fields.u32()?,
        captured: fields.u32()?,
        flags: fields.u16()?,
        role: fields.u8()?,
        reserved: fields.u8()?,
        sequence: fields.u32()?,
        reserved2: fields.u32()?,
    };
    let end = u64::from(record.offset) + u64::from(record.captured);
    limit(u64::from(record.captured), HEAD_CHUNK)?;
    limit(end, HEAD_CAPTURE_LIMIT)?;
    Ok(Record::Request {
        role: role(record.role)?,
        local: endpoint(&record.local)?,
        peer: endpoint(&record.peer)?,
        record,
        head: fields.rest(record.captured)?,
    })
}

fn response(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = ResponseRecord {
        header,
        first_ns: fields.u64()?,
        last_ns: fields.u64()?,
        body_bytes: fields.u64()?,
        request_body_bytes: fields.u64()?,
        thread: fields.u32()?,
        index: fields.u32()?,
        status: fields.u16()?,
        flags: fields.u16()?,
        role: fields.u8()?,
        reserved: fields.array()?,
    };
    fields.rest(0)?;
    if !is_status(record.status) {
        return Err(DecodeError::Status(record.status));
    }
    Ok(Record::Response {
        role: role(record.role)?,
        record,
    })
}

fn abort(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = AbortRecord {
        header,
        first_ns: fields.u64()?,
        last_ns: fields.u64()?,
        body_bytes: fields.u64()?,
        request_body_bytes: fields.u64()?,
        from: fields.u32()?,
        to: fields.u32()?,
        errno: fields.u32()?,
        reason: fields.u16()?,
        status: fields.u16()?,
        flags: fields.u16()?,
        role: fields.u8()?,
        reserved: fields.array()?,
    };
    fields.rest(0)?;
    if record.from >= record.to {
        return Err(DecodeError::EmptyRange {
            from: record.from,
            to: record.to,
        });
    }
    if record.status != 0 && !is_status(record.status) {
        return Err(DecodeError::Status(record.status));
    }
    Ok(Record::Abort {
        role: role(record.role)?,
        reason: reason(record.reason)?,
        record,
    })
}

fn process(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = ProcessRecord {
        header,
        task: task(&mut fields)?,
        args_len: fields.u32()?,
        environ_len: fields.u32()?,
    };
    limit(u64::from(record.args_len), ARGS_LIMIT)?;
    limit(u64::from(record.environ_len), ENVIRON_LIMIT)?;
    let (args, environ) = fields
        .rest(record.args_len + record.environ_len)?
        .split_at(record.args_len as usize);
    Ok(Record::Process {
        record,
        args,
        environ,
    })
}

fn request_body(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = RequestBodyRecord {
        header,
        body_bytes: fields.u64()?,
        index: fields.u32()?,
        reserved: fields.u32()?,
    };
    fields.rest(0)?;
    Ok(Record::RequestBody(record))
}

fn http2(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = Http2Record {
        header,
        task: task(&mut fields)?,
        local: address(&mut fields)?,
        peer: address(&mut fields)?,
        data_bytes: fields.u64()?,
        seq: fields.u32()?,
        len: fields.u32()?,
        continued: fields.u32()?,
        flags: fields.u16()?,
        direction: fields.u8()?,
        role: fields.u8()?,
    };
    limit(u64::from(record.len), PIECE_LIMIT)?;
    if record.continued > record.len {
        return Err(DecodeError::Continued {
            continued: record.continued,
            len: record.len,
        });
    }
    Ok(Record::Http2 {
        role: maybe_role(record.role)?,
        direction: direction(record.direction)?,
        local: endpoint(&record.local)?,
        peer: endpoint(&record.peer)?,
        record,
        frames: fields.rest(record.len)?,
    })
}

fn http2_end(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = Http2EndRecord {
        header,
        last_ns: fields.u64()?,
        next_seq: [fields.u32()?, fields.u32()?],
        errno: fields.u32()?,
        reason: fields.u16()?,
        role: fields.u8()?,
        reserved: fields.u8()?,
    };
    fields.rest(0)?;
    Ok(Record::Http2End {
        role: maybe_role(record.role)?,
        reason: reason(record.reason)?,
        record,
    })
}

fn tls(header: RecordHeader, bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut fields = after_header(bytes)?;
    let record = TlsRecord {
        header,
        task: task(&mut fields)?,
        local: address(&mut fields)?,
        peer: address(&mut fields)?,
        captured: fields.u32()?,
        library: fields.u8()?,
        sent: fields.u8()?,
        reserved: fields.u16()?,
    };
    limit(u64::from(record.captured), HELLO_LIMIT)?;
    Ok(Record::Tls {
        local: endpoint(&record.local)?,
        peer: endpoint(&record.peer)?,
        record,
        stream: fields.rest(record.captured)?,
    })
}

fn header(fields: &mut Fields<'_>) -> Result<RecordHeader, DecodeError> {
    Ok(RecordHeader {
        kind: fields.u32()?,
        size: fields.u32()?,
        time_ns: fields.u64()?,
        socket: fields.u64()?,
    })
}

fn task(fields: &mut Fields<'_>) -> Result<Task, DecodeError> {
    Ok(Task {
        process: ProcessKey {
            start_boottime_ns: fields.u64()?,
            pid: fields.u32()?,
            exec_id: fields.u32()?,
        },
        cgroup_id: fields.u64()?,
        comm: fields.array()?,
        tid: fields.u32()?,
        reserved: fields.u32()?,
    })
}

fn address(fields: &mut Fields<'_>) -> Result<SocketAddress, DecodeError> {
    Ok(SocketAddress {
        addr: fields.array()?,
        port: fields.u16()?,
        family: fields.u16()?,
        netns: fields.u32()?,
    })
}

fn kind(value: u32) -> Result<RecordKind, DecodeError> {
    const REQUEST: u32 = RecordKind::Request as u32;
    const RESPONSE: u32 = RecordKind::Response as u32;
    const ABORT: u32 = RecordKind::Abort as u32;
    const PROCESS: u32 = RecordKind::Process as u32;
    const REQUEST_BODY: u32 = RecordKind::RequestBody as u32;
    const HTTP2: u32 = RecordKind::Http2 as u32;
    const HTTP2_END: u32 = RecordKind::Http2End as u32;
    const TLS: u32 = RecordKind::Tls as u32;
    match value {
        REQUEST => Ok(RecordKind::Request),
        RESPONSE => Ok(RecordKind::Response),
        ABORT => Ok(RecordKind::Abort),
        PROCESS => Ok(RecordKind::Process),
        REQUEST_BODY => Ok(RecordKind::RequestBody),
        HTTP2 => Ok(RecordKind::Http2),
        HTTP2_END => Ok(RecordKind::Http2End),
        TLS => Ok(RecordKind::Tls),
        unknown => Err(DecodeError::Kind(unknown)),
    }
}

fn role(value: u8) -> Result<Role, DecodeError> {
    const SERVER: u8 = SocketRole::Server as u8;
    const CLIENT: u8 = SocketRole::Client as u8;
    match value {
        SERVER => Ok(Role::Server),
        CLIENT => Ok(Role::Client),
        unknown => Err(DecodeError::Role(unknown)),
    }
}

/// A role that may not be known yet, which is 0.
fn maybe_role(value: u8) -> Result<Option<Role>, DecodeError> {
    match value {
        0 => Ok(None),
        known => role(known).map(Some),
    }
}

fn direction(value: u8) -> Result<Http2Direction, DecodeError> {
    const RECEIVED: u8 = Http2Direction::Received as u8;
    const SENT: u8 = Http2Direction::Sent as u8;
    match value {
        RECEIVED => Ok(Http2Direction::Received),
        SENT => Ok(Http2Direction::Sent),
        unknown => Err(DecodeError::Direction(unknown)),
    }
}

fn reason(value: u16) -> Result<AbortReason, DecodeError> {
    const PEER_CLOSED: u16 = AbortReason::PeerClosed as u16;
    const LOCAL_CLOSED: u16 = AbortReason::LocalClosed as u16;
    const BROKEN: u16 = AbortReason::Broken as u16;
    const LOST: u16 = AbortReason::Lost as u16;
    match value {
        PEER_CLOSED => Ok(AbortReason::PeerClosed),
        LOCAL_CLOSED => Ok(AbortReason::LocalClosed),
        BROKEN => Ok(AbortReason::Broken),
        LOST => Ok(AbortReason::Lost),
        unknown => Err(DecodeError::Reason(unknown)),
    }
}

/// `AF_UNIX`, `AF_INET`, `AF_INET6` of `include/linux/socket.h`; IPv4-mapped addresses become IPv4.
fn endpoint(address: &SocketAddress) -> Result<Endpoint, DecodeError> {
    let [a, b, c, d, ..] = address.addr;
    match address.family {
        1 => Ok(Endpoint::Unix),
        2 => {
            let ip = Ipv4Addr::new(a, b, c, d);
            Ok(Endpoint::Inet(SocketAddr::new(ip.into(), address.port)))
        }
        10 => {
            let ip = Ipv6Addr::from(address.addr).to_canonical();
            Ok(Endpoint::Inet(SocketAddr::new(ip, address.port)))
        }
        unknown => Err(DecodeError::Family(unknown)),
    }
}

fn is_status(value: u16) -> bool {
    (100..=999).contains(&value)
}

fn limit(length: u64, limit: usize) -> Result<(), DecodeError> {
    if usize::try_from(length).is_ok_and(|length| length <= limit) {
        Ok(())
    } else {
        Err(DecodeError::TooLong { length, limit })
    }
}

/// The fields that follow the header.
fn after_header(bytes: &[u8]) -> Result<Fields<'_>, DecodeError> {
    let mut fields = Fields { bytes, read: 0 };
    header(&mut fields)?;
    Ok(fields)
}

/// Reads the fields of one structure in order.
struct Fields<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes[self.read..].first_chunk() {
            Some(value) => {
                self.read += N;
                Ok(*value)
            }
            None => Err(DecodeError::Short {
                have: self.bytes.len(),
                need: self.read + N,
            }),
        }
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_ne_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_ne_bytes)
    }

    /// What follows the structure: `follow` bytes, which must be the last of the record.
    fn rest(self, follow: u32) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.read..];
        if u32::try_from(rest.len()) == Ok(follow) {
            Ok(rest)
        } else {
            Err(DecodeError::Size {
                size: self.bytes.len(),
                content: self.read as u64 + u64::from(follow),
            })
        }
    }
}
