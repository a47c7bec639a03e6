//! Messages that are bytes and nothing else.

use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Bytes;
use tonic::{Status, codegen::tokio_stream};

/// A stream of messages that are known.
pub(crate) type Messages = tokio_stream::Iter<std::vec::IntoIter<Vec<u8>>>;

/// The codec.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes_mut(out, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf as _;
        let length = buffer.remaining();
        let message: Bytes = buffer.copy_to_bytes(length);
        Ok(Some(message.to_vec()))
    }
}

fn bytes_mut(out: &mut EncodeBuf<'_>, item: &[u8]) {
    use prost::bytes::BufMut as _;
    out.put_slice(item);
}
