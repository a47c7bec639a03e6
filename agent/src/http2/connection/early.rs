//! Answers that come before their requests.
//!
//! A client's request is heard when its write returns. On a busy machine the thread that writes may
//! be kept from that for so long that the server has answered and another thread has read it. What is
//! heard of such a stream waits until the request is there, in the order in which it came.

use crate::exchange::ErrorType;
use crate::http2::fields::Fields;
use crate::http2::frame::Messages;

/// Most of what waits on one connection. What is beyond is passed over, as an answer to a request that
/// was not heard is.
const LIMIT: usize = 256;
/// Likewise, in bytes of fields.
const BYTE_LIMIT: usize = 256 << 10;

/// What was heard of a stream without a request.
#[derive(Debug)]
pub(super) enum Step {
    /// A header block of the response.
    Block {
        /// What it says.
        fields: Box<Fields>,
        /// When its first byte moved, ns.
        first_ns: u64,
        /// It ends the stream.
        end_stream: bool,
    },
    /// A part of the response's body.
    Data {
        /// Its length.
        bytes: u64,
        /// The gRPC messages in it.
        messages: Messages,
        /// It ends the stream.
        end_stream: bool,
    },
    /// The server has reset the stream.
    Reset(ErrorType),
}

/// All that waits on a connection.
#[derive(Debug, Default)]
pub(super) struct Early {
    steps: Vec<(u32, Step)>,
    /// Of all fields in them.
    bytes: usize,
}

impl Early {
    /// Keeps a step; false if there is no room.
    pub(super) fn push(&mut self, id: u32, step: Step) -> bool {
        let weight = weight(&step);
        let room = self.steps.len() < LIMIT && self.bytes + weight <= BYTE_LIMIT;
        if room {
            self.bytes += weight;
            self.steps.push((id, step));
        }
        room
    }

    /// Takes out what belongs to streams that `wanted` names, in order.
    pub(super) fn take(&mut self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, Step)> {
        if self.steps.is_empty() {
            return Vec::new();
        }
        let taken: Vec<_> = (self.steps).extract_if(.., |(id, _)| wanted(*id)).collect();
        self.bytes -= taken.iter().map(|(_, step)| weight(step)).sum::<usize>();
        taken
    }

    /// Memory that it takes, about, in bytes.
    pub(super) const fn weight(&self) -> usize {
        self.steps.capacity() * size_of::<(u32, Step)>() + self.bytes
    }
}

fn weight(step: &Step) -> usize {
    match step {
        Step::Block { fields, .. } => fields.weight(),
        Step::Data { .. } | Step::Reset(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::hpack::Field;

    #[test]
    fn room_is_bounded_in_bytes() {
        let mut fields = Fields::default();
        for _ in 0..10 {
            fields.add(Field {
                name: Some(b"x-forwarded-for"),
                value: Some(&[b'1'; 9000]),
            });
        }
        assert!(
            fields.weight() < 48 << 10,
            "what one block keeps is bounded"
        );
        let block = || Step::Block {
            fields: Box::new(fields.clone()),
            first_ns: 0,
            end_stream: false,
        };
        let mut early = Early::default();
        let kept = (0..100).filter(|_| early.push(1, block())).count();
        assert!((4..10).contains(&kept), "{kept}");
        assert!(early.weight() < BYTE_LIMIT + (64 << 10));
        assert_eq!(early.take(|id| id == 1).len(), kept);
        assert_eq!(early.bytes, 0);
        assert!(early.push(3, block()));
    }
}
