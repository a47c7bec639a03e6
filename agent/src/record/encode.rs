//! Records to bytes: the inverse of [`super::decode()`], for capture files and tests.

use hark_common::socket::{
    AbortReason, ProcessRecord, RecordHeader, RecordKind, SocketAddress, SocketRole, Task,
};

use super::Record;
use crate::exchange::Role;

/// Appends a record to `out`, laid out as the kernel side lays it out (native byte order).
///
/// Kind, size, lengths, role, direction and reason are written from what the record is, whatever its
/// structure holds in their place; addresses are written from the structure.
pub fn encode(record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    match record {
        Record::Request {
            role, record, head, ..
        } => {
            put_header(out, RecordKind::Request, &record.header);
            put(out, record.first_ns.to_ne_bytes());
            put_task(out, &record.task);
            put_address(out, &record.local);
            put_address(out, &record.peer);
            put(out, record.index.to_ne_bytes());
            put(out, record.offset.to_ne_bytes());
            put(out, length(head).to_ne_bytes());
            put(out, record.flags.to_ne_bytes());
            put(out, [raw_role(*role), record.reserved]);
            put(out, record.sequence.to_ne_bytes());
            put(out, record.reserved2.to_ne_bytes());
            out.extend_from_slice(head);
        }
        Record::Response { role, record } => {
            put_header(out, RecordKind::Response, &record.header);
            put(out, record.first_ns.to_ne_bytes());
            put(out, record.last_ns.to_ne_bytes());
            put(out, record.body_bytes.to_ne_bytes());
            put(out, record.request_body_bytes.to_ne_bytes());
            put(out, record.thread.to_ne_bytes());
            put(out, record.index.to_ne_bytes());
            put(out, record.status.to_ne_bytes());
            put(out, record.flags.to_ne_bytes());
            put(out, [raw_role(*role)]);
            put(out, record.reserved);
        }
        Record::Abort {
            role,
            reason,
            record,
        } => {
            put_header(out, RecordKind::Abort, &record.header);
            put(out, record.first_ns.to_ne_bytes());
            put(out, record.last_ns.to_ne_bytes());
            put(out, record.body_bytes.to_ne_bytes());
            put(out, record.request_body_bytes.to_ne_bytes());
            put(out, record.from.to_ne_bytes());
            put(out, record.to.to_ne_bytes());
            put(out, record.errno.to_ne_bytes());
            put(out, raw_reason(*reason).to_ne_bytes());
            put(out, record.status.to_ne_bytes());
            put(out, record.flags.to_ne_bytes());
            put(out, [raw_role(*role)]);
            put(out, record.reserved);
        }
        Record::Process {
            record,
            args,
            environ,
        } => {
            let ProcessRecord {
                header,
                task,
                args_len: _,
                environ_len: _,
            } = record;
            put_header(out, RecordKind::Process, header);
            put_task(out, task);
            put(out, length(args).to_ne_bytes());
            put(out, length(environ).to_ne_bytes());
            out.extend_from_slice(args);
            out.extend_from_slice(environ);
        }
        Record::RequestBody(record) => {
            put_header(out, RecordKind::RequestBody, &record.header);
            put(out, record.body_bytes.to_ne_bytes());
            put(out, record.index.to_ne_bytes());
            put(out, record.reserved.to_ne_bytes());
        }
        Record::Http2 {
            role,
            direction,
            record,
            frames,
            ..
        } => {
            put_header(out, RecordKind::Http2, &record.header);
            put_task(out, &record.task);
            put_address(out, &record.local);
            put_address(out, &record.peer);
            put(out, record.data_bytes.to_ne_bytes());
            put(out, record.seq.to_ne_bytes());
            put(out, length(frames).to_ne_bytes());
            put(out, record.continued.to_ne_bytes());
            put(out, record.flags.to_ne_bytes());
            put(out, [*direction as u8, role.map_or(0, raw_role)]);
            put(out, record.origin.to_ne_bytes());
            put(out, record.reserved.to_ne_bytes());
            out.extend_from_slice(frames);
        }
        Record::Tls { record, stream, .. } => {
            put_header(out, RecordKind::Tls, &record.header);
            put_task(out, &record.task);
            put_address(out, &record.local);
            put_address(out, &record.peer);
            put(out, length(stream).to_ne_bytes());
            put(out, [record.library, record.sent]);
            put(out, record.reserved.to_ne_bytes());
            out.extend_from_slice(stream);
        }
        Record::Http2End {
            role,
            reason,
            record,
        } => {
            put_header(out, RecordKind::Http2End, &record.header);
            put(out, record.last_ns.to_ne_bytes());
            let [received, sent] = record.next_seq;
            put(out, received.to_ne_bytes());
            put(out, sent.to_ne_bytes());
            put(out, record.errno.to_ne_bytes());
            put(out, raw_reason(*reason).to_ne_bytes());
            put(out, [role.map_or(0, raw_role), record.reserved]);
        }
    }
    let size = length(&out[start..]).to_ne_bytes();
    out[start + 4..start + 8].copy_from_slice(&size);
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

/// The size is written as 0 here and put right once the whole record is there.
fn put_header(out: &mut Vec<u8>, kind: RecordKind, header: &RecordHeader) {
    put(out, (kind as u32).to_ne_bytes());
    put(out, 0_u32.to_ne_bytes());
    put(out, header.time_ns.to_ne_bytes());
    put(out, header.socket.to_ne_bytes());
}

fn put_task(out: &mut Vec<u8>, task: &Task) {
    put(out, task.process.start_boottime_ns.to_ne_bytes());
    put(out, task.process.pid.to_ne_bytes());
    put(out, task.process.exec_id.to_ne_bytes());
    put(out, task.cgroup_id.to_ne_bytes());
    put(out, task.comm);
    put(out, task.tid.to_ne_bytes());
    put(out, task.reserved.to_ne_bytes());
}

fn put_address(out: &mut Vec<u8>, address: &SocketAddress) {
    put(out, address.addr);
    put(out, address.port.to_ne_bytes());
    put(out, address.family.to_ne_bytes());
    put(out, address.netns.to_ne_bytes());
}

const fn raw_role(role: Role) -> u8 {
    match role {
        Role::Server => SocketRole::Server as u8,
        Role::Client => SocketRole::Client as u8,
    }
}

const fn raw_reason(reason: AbortReason) -> u16 {
    reason as u16
}

/// A length of at most a few kilobytes, by the limits of the records.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
