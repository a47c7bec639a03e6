//! How far the kernel side has followed HTTP/2 connections: what it keeps with each socket, read from
//! outside.
//!
//! `inet_diag` gives the storage of BPF programs beside each socket that it lists
//! (`INET_DIAG_REQ_SK_BPF_STORAGES`, Linux 5.7), so no socket needs to be touched. Of `AF_UNIX` it
//! does not, nor would a sequence number be there to go by.

use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use hark_common::http2::Http2Position;

use super::namespaces;
use super::sock_diag::{Stored, stored};
use crate::http2::checkpoint::Positions;

/// The positions of the connections in the network namespaces of these processes and of the agent,
/// as far as the kernel gives them until `deadline`.
pub(super) fn of(
    storage: BorrowedFd<'_>,
    proc_root: &Path,
    pids: impl Iterator<Item = u32>,
    deadline: Instant,
) -> Positions {
    let (namespaces, all) = namespaces::of(proc_root, pids, deadline);
    if !all {
        tracing::warn!("not all network namespaces were looked at for HTTP/2 connections");
    }
    let storage = storage.as_raw_fd();
    let keep = 2 * size_of::<Http2Position>();
    let found = namespaces::in_each(&namespaces, deadline, |_| stored(storage, keep, deadline));
    let mut positions = Positions::new();
    let lists = match found {
        Ok(lists) => lists,
        Err(error) => {
            tracing::warn!(%error, "HTTP/2 connections cannot be listed");
            return positions;
        }
    };
    let mut closed = 0;
    for list in lists {
        match list {
            Ok(Ok(sockets)) => positions.extend(sockets.iter().filter_map(position)),
            Ok(Err(error)) => tracing::warn!(%error, "HTTP/2 connections cannot be listed"),
            // Gone meanwhile, or without CAP_SYS_ADMIN.
            Err(_) => closed += 1,
        }
    }
    if closed > 0 {
        tracing::info!(
            closed,
            "network namespaces could not be entered to list connections"
        );
    }
    positions
}

/// A storage begins with those of both directions.
fn position(socket: &Stored) -> Option<(u64, [Http2Position; 2])> {
    let number = |at: usize, field: usize| {
        let at = at * size_of::<Http2Position>() + field;
        let bytes = socket.value.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let direction = |at: usize| {
        Some(Http2Position {
            sequence: number(at, offset_of!(Http2Position, sequence))?,
            seq: number(at, offset_of!(Http2Position, seq))?,
            settled: number(at, offset_of!(Http2Position, settled))?,
        })
    };
    Some((socket.cookie, [direction(0)?, direction(1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_begins_with_both_positions() {
        let mut value = Vec::new();
        for number in 1..=7_u32 {
            value.extend(number.to_ne_bytes());
        }
        let (cookie, [received, sent]) = position(&Stored { cookie: 9, value }).unwrap();
        let of = |position: Http2Position| (position.sequence, position.seq, position.settled);
        assert_eq!((cookie, of(received), of(sent)), (9, (1, 2, 3), (4, 5, 6)));
        let short = Stored {
            cookie: 9,
            value: vec![0; 23],
        };
        assert!(position(&short).is_none());
    }
}
