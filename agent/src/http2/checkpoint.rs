//! The header tables of living connections, written down at the end of the agent and read at its next
//! start: otherwise it would know only what is inserted from then on, and where an encoder has no
//! more to insert, that is nothing.
//!
//! **What proves that nothing was missed.** The kernel side dies with the agent, and what moves until
//! the next one listens is not heard. So each direction is kept with the socket's own sequence number
//! behind the last event that was followed ([`Http2Position`]), and is used again only if the kernel
//! side of the next agent finds the socket at that very number before the first event that it
//! sees ([`flag::ORIGIN`](hark_common::http2::flag::ORIGIN)). A connection on which anything moved
//! in between is one that was joined in the middle. The number has 32 bits: that exactly a multiple of
//! 4 GiB moved is taken for nothing.
//!
//! **Format.** Little-endian. `HARKHPCK`, version (u32), boot id (16 bytes), number of connections
//! (u32), the connections, CRC-32 of all before (u32). A connection: cookie (u64), role (u8: 0 unknown,
//! 1 server, 2 client), `SETTINGS_MAX_CONCURRENT_STREAMS` (u8 whether, u32), then for each direction:
//! sequence number (u32), largest table allowed (u32), table (`Decoder::write`). The file may
//! be anybody's work: whatever is wrong with it, it is refused as a whole.

use std::collections::HashMap;

use hark_common::http2::Http2Position;
use thiserror::Error;

use super::hpack::Decoder;
use crate::exchange::Role;

const MAGIC: &[u8; 8] = b"HARKHPCK";
const VERSION: u32 = 1;

/// Most bytes of a checkpoint; connections that find no room are left out.
pub const CHECKPOINT_LIMIT: usize = 4 << 20;

/// `/proc/sys/kernel/random/boot_id`: cookies of sockets mean nothing after the next boot.
pub type BootId = [u8; 16];

/// How far both directions of connections were followed, by socket cookie.
pub type Positions = HashMap<u64, [Http2Position; 2]>;

/// Why a checkpoint is not used. Each is one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// It is something else.
    #[error("it is not a checkpoint of hark")]
    Magic,
    /// Another hark wrote it.
    #[error("it has format version {0}, this hark reads version {VERSION}")]
    Version(u32),
    /// It is older than the machine's start.
    #[error("it is from before this boot")]
    Boot,
    /// It is too long.
    #[error("it is longer than {CHECKPOINT_LIMIT} bytes")]
    Length,
    /// It is damaged: the sum over it is another one.
    #[error("it is damaged: its checksum is wrong")]
    Checksum,
    /// It ends too early, or says what cannot be.
    #[error("it is damaged: what it says of a connection cannot be")]
    Content,
}

/// What is kept of a direction.
#[derive(Debug)]
pub(super) struct SavedDirection {
    pub(super) sequence: u32,
    pub(super) allowed: u32,
    pub(super) decoder: Decoder,
}

/// What is kept of a connection.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) role: Option<Role>,
    pub(super) max_streams: Option<u32>,
    /// A direction is taken out when it is used, or cannot be any more.
    pub(super) directions: [Option<SavedDirection>; 2],
}

/// What a checkpoint holds, by socket cookie.
#[derive(Debug, Default)]
pub struct Checkpoint {
    saved: HashMap<u64, Saved>,
}

impl Checkpoint {
    /// Reads one that was made since the boot with this id.
    ///
    /// # Errors
    ///
    /// It is not one, not whole, or not of this boot.
    pub fn read(bytes: &[u8], boot: &BootId) -> Result<Self, CheckpointError> {
        if bytes.len() > CHECKPOINT_LIMIT {
            return Err(CheckpointError::Length);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(CheckpointError::Magic)?;
        let (content, sum) = bytes
            .split_last_chunk()
            .filter(|_| rest.len() >= 8)
            .ok_or(CheckpointError::Content)?;
        let mut input = Input(rest.strip_suffix(sum).ok_or(CheckpointError::Content)?);
        let version = input.u32().ok_or(CheckpointError::Content)?;
        if version != VERSION {
            return Err(CheckpointError::Version(version));
        }
        if checksum(content) != u32::from_le_bytes(*sum) {
            return Err(CheckpointError::Checksum);
        }
        if input.array().ok_or(CheckpointError::Content)? != *boot {
            return Err(CheckpointError::Boot);
        }
        let saved = connections(&mut input).ok_or(CheckpointError::Content)?;
        Ok(Self { saved })
    }

    /// How many connections it is of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.saved.len()
    }

    /// It is of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.saved.is_empty()
    }

    /// What is known of a direction whose socket stood at `origin` before its first event. It is
    /// given out once, and only if nothing moved in between.
    pub(super) fn take(&mut self, cookie: u64, direction: usize, origin: u32) -> Option<Taken> {
        let saved = self.saved.get_mut(&cookie)?;
        let taken = saved.directions[direction].take();
        let (role, max_streams) = (saved.role, saved.max_streams);
        if saved.directions.iter().all(Option::is_none) {
            self.saved.remove(&cookie);
        }
        taken
            .filter(|direction| direction.sequence == origin)
            .map(|direction| Taken {
                role,
                max_streams,
                direction,
            })
    }

    /// A direction goes on without what was known of it, or the connection is over.
    pub(super) fn drop_direction(&mut self, cookie: u64, direction: usize) {
        // Never a match: it is taken out all the same.
        if let Some(saved) = self.saved.get_mut(&cookie) {
            saved.directions[direction] = None;
            if saved.directions.iter().all(Option::is_none) {
                self.saved.remove(&cookie);
            }
        }
    }
}

/// A direction of a checkpoint, and what is said of its connection.
pub(super) struct Taken {
    pub(super) role: Option<Role>,
    pub(super) max_streams: Option<u32>,
    pub(super) direction: SavedDirection,
}

/// A checkpoint that is being written.
pub(super) struct Writer {
    bytes: Vec<u8>,
    count: u32,
}

/// Where the number of connections is.
const COUNT_AT: usize = MAGIC.len() + 4 + size_of::<BootId>();

impl Writer {
    pub(super) fn new(boot: &BootId) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(boot);
        bytes.extend([0; 4]);
        Self { bytes, count: 0 }
    }

    /// Adds a connection: sequence number, largest table allowed, and decoder of each direction.
    /// False if there is no room.
    pub(super) fn add(
        &mut self,
        cookie: u64,
        role: Option<Role>,
        max_streams: Option<u32>,
        directions: [(u32, u32, &Decoder); 2],
    ) -> bool {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        out.extend(cookie.to_le_bytes());
        out.push(match role {
            None => 0,
            Some(Role::Server) => 1,
            Some(Role::Client) => 2,
        });
        out.push(u8::from(max_streams.is_some()));
        out.extend(max_streams.unwrap_or(0).to_le_bytes());
        for (sequence, allowed, decoder) in directions {
            out.extend(sequence.to_le_bytes());
            out.extend(allowed.to_le_bytes());
            decoder.write(out);
        }
        if out.len() + size_of::<u32>() > CHECKPOINT_LIMIT {
            out.truncate(start);
            return false;
        }
        self.count += 1;
        true
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[COUNT_AT..COUNT_AT + 4].copy_from_slice(&self.count.to_le_bytes());
        let sum = checksum(&self.bytes);
        self.bytes.extend(sum.to_le_bytes());
        self.bytes
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// All connections, to the last byte.
fn connections(input: &mut Input<'_>) -> Option<HashMap<u64, Saved>> {
    let mut saved = HashMap::new();
    for _ in 0..input.u32()? {
        let cookie = u64::from_le_bytes(input.array()?);
        let role = match input.u8()? {
            0 => None,
            1 => Some(Role::Server),
            2 => Some(Role::Client),
            _ => return None,
        };
        let has_max = match input.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let max_streams = Some(input.u32()?).filter(|_| has_max);
        let mut direction = || {
            Some(SavedDirection {
                sequence: input.u32()?,
                allowed: input.u32()?,
                decoder: Decoder::read(input)?,
            })
        };
        let directions = [Some(direction()?), Some(direction()?)];
        let connection = Saved {
            role,
            max_streams,
            directions,
        };
        if saved.insert(cookie, connection).is_some() {
            return None;
        }
    }
    input.0.is_empty().then_some(saved)
}

/// Bytes that are read from the front; `None` where there are no more.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}
