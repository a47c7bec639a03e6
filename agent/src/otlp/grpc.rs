//! OTLP over gRPC.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::answer::{Answer, chain};
use super::config::{Compression, OtlpConfig};
use super::exporter::OtlpError;
use super::tls::Tls;
use super::{MAX_RESPONSE_BYTES, USER_AGENT};

/// A connection that is made when it is first needed, and again when it is lost.
pub(super) struct GrpcTransport {
    endpoint: Endpoint,
    compression: Compression,
    method: &'static str,
    client: tonic::client::Grpc<Channel>,
    metadata: MetadataMap,
}

impl GrpcTransport {
    /// Must be called within a runtime.
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let setup = |error: tonic::transport::Error| OtlpError::Transport {
            endpoint: config.endpoint.to_string(),
            problem: chain(&error),
        };
        let mut endpoint = Endpoint::from(config.endpoint.clone())
            .user_agent(USER_AGENT)
            .map_err(setup)?;
        if config.endpoint.scheme_str() == Some("https") {
            endpoint = endpoint
                .tls_config(Tls::read(config)?.tonic())
                .map_err(setup)?;
        }
        Ok(Self {
            client: client(&endpoint, config.compression),
            endpoint,
            compression: config.compression,
            method: config.signal.grpc_method(),
            metadata: MetadataMap::from_headers(config.headers.clone()),
        })
    }

    /// Gives the connection up; the next attempt makes another.
    pub(super) fn reset(&mut self) {
        self.client = client(&self.endpoint, self.compression);
    }

    /// One attempt to send an encoded request of `spans` spans or log records.
    pub(super) async fn send(&mut self, body: Bytes, spans: usize) -> Answer {
        if let Err(error) = self.client.ready().await {
            return Answer::unavailable(chain(&error), None);
        }
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        let path = PathAndQuery::from_static(self.method);
        match self.client.unary(request, path, Raw).await {
            Ok(response) => Answer::from_success(response.get_ref(), spans),
            Err(status) => Answer::from_grpc(&status),
        }
    }
}

fn client(endpoint: &Endpoint, compression: Compression) -> tonic::client::Grpc<Channel> {
    let client = tonic::client::Grpc::new(endpoint.connect_lazy())
        .max_decoding_message_size(MAX_RESPONSE_BYTES);
    match compression {
        Compression::None => client,
        Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
    }
}

/// Messages as bytes: a request is encoded once for all its attempts, and an answer that cannot be
/// decoded is told apart from a failure that the collector reports.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
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
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
