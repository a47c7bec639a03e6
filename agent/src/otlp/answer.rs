//! What the collector's answer means for a batch, by the rules of OTLP.
//!
//! Source: OTLP specification, "OTLP/gRPC Response", "OTLP/HTTP Response". Whoever answers may be
//! anybody: every field is checked, and a nonsensical answer is a malformed one.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::{Code, Status};

use super::counters::DropReason;

/// How much of what the collector says is shown in the log, in characters.
const SHOWN: usize = 300;

/// The end of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The batch was taken, but for `rejected` spans.
    Accepted { rejected: u64, message: String },
    /// To be tried again, not before `after`. `reason` is what its spans are dropped for if there
    /// is no time for it.
    Retry {
        after: Option<Duration>,
        reason: DropReason,
        message: String,
    },
    /// Not to be tried again.
    Failed { reason: DropReason, message: String },
}

impl Answer {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Failed {
            reason: DropReason::Refused,
            message: shown(&message.into()),
        }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Failed {
            reason: DropReason::MalformedAnswer,
            message: shown(&message.into()),
        }
    }

    pub(super) fn unavailable(message: impl Into<String>, after: Option<Duration>) -> Self {
        Self::Retry {
            after,
            reason: DropReason::Unavailable,
            message: shown(&message.into()),
        }
    }

    /// Reads the body of a success: an `ExportTraceServiceResponse` to a request of `sent` spans, or
    /// an `ExportLogsServiceResponse`, which is the same on the wire (`rejected_log_records`).
    pub(super) fn from_success(body: &[u8], sent: usize) -> Self {
        let response = match ExportTraceServiceResponse::decode(body) {
            Ok(response) => response,
            Err(error) => return Self::malformed(format!("the answer is not OTLP: {error}")),
        };
        let partial = response.partial_success.unwrap_or_default();
        match u64::try_from(partial.rejected_spans) {
            Ok(rejected) if rejected <= sent as u64 => Self::Accepted {
                rejected,
                message: shown(&partial.error_message),
            },
            _ => Self::malformed(format!(
                "the answer rejects {} of the {sent} that were sent",
                partial.rejected_spans
            )),
        }
    }

    /// Reads the status of an HTTP answer that is not success.
    pub(super) fn from_http(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let message = format!("the collector answered {status}");
        match status.as_u16() {
            429 | 502..=504 => Self::unavailable(message, retry_after(headers, now)),
            _ => Self::refused(message),
        }
    }

    /// Reads a gRPC status that is not success.
    pub(super) fn from_grpc(status: &Status) -> Self {
        // A status with a source was made on this side: the connection failed. Those that the
        // collector sends have none.
        if let Some(source) = std::error::Error::source(status) {
            return Self::unavailable(chain(source), None);
        }
        let message = format!(
            "the collector answered {:?}: {}",
            status.code(),
            status.message()
        );
        let after = retry_info(status.details());
        match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Self::unavailable(message, after),
            // Only if the collector says that it will recover.
            Code::ResourceExhausted if after.is_some() => Self::unavailable(message, after),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Internal
            | Code::Unauthenticated => Self::refused(message),
        }
    }
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date. One that cannot be read is none.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit is for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// `google.rpc.Status`, the parts that matter here. The details travel in
/// `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The delay of the first `RetryInfo`; a delay that is not one (negative, a second or more of
/// nanoseconds) is as if there were no `RetryInfo`.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let any = status
        .details
        .iter()
        .find(|any| any.type_url.rsplit('/').next() == Some("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(any.value.as_slice())
        .ok()?
        .retry_delay
        .unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos).ok()?;
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// What somebody else said, fit for one line of a log.
fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}
