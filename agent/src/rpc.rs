//! gRPC status codes, and what stands for them where none was sent.
//!
//! Sources, all in the gRPC repository: `doc/statuscodes.md`, `doc/http-grpc-status-mapping.md`,
//! `doc/PROTOCOL-HTTP2.md` (errors, "HTTP2 Transport Mapping"; timeout).

use crate::exchange::{ErrorCode, Role};

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the codes' own names")]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    /// Every code, by its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// Value of `rpc.response.status_code`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The code that the value of `grpc-status` says. What is no code is `UNKNOWN`, as it is to the
    /// libraries.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Self {
        std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<usize>().ok())
            .and_then(|number| Self::ALL.get(number).copied())
            .unwrap_or(Self::Unknown)
    }

    /// The code for a response without `grpc-status`, by its HTTP status.
    #[must_use]
    pub const fn from_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The code for a stream that was reset.
    #[must_use]
    pub const fn from_reset(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NoError
            | ErrorCode::ProtocolError
            | ErrorCode::InternalError
            | ErrorCode::FlowControlError
            | ErrorCode::SettingsTimeout
            | ErrorCode::FrameSizeError
            | ErrorCode::CompressionError
            | ErrorCode::ConnectError => Self::Internal,
            ErrorCode::RefusedStream => Self::Unavailable,
            ErrorCode::Cancel => Self::Cancelled,
            ErrorCode::EnhanceYourCalm => Self::ResourceExhausted,
            ErrorCode::InadequateSecurity => Self::PermissionDenied,
            ErrorCode::StreamClosed | ErrorCode::Http11Required | ErrorCode::Other => Self::Unknown,
        }
    }

    /// The code for a call whose connection was lost, as the libraries on that end have it: a
    /// client may try again, a server has nobody to answer.
    #[must_use]
    pub const fn from_connection_loss(role: Role) -> Self {
        match role {
            Role::Client => Self::Unavailable,
            Role::Server => Self::Cancelled,
        }
    }

    /// Whether it makes the call an error for this end (OpenTelemetry's gRPC conventions).
    #[must_use]
    pub const fn is_error(self, role: Role) -> bool {
        match role {
            Role::Client => !matches!(self, Self::Ok),
            Role::Server => matches!(
                self,
                Self::Unknown
                    | Self::DeadlineExceeded
                    | Self::Unimplemented
                    | Self::Internal
                    | Self::Unavailable
                    | Self::DataLoss
            ),
        }
    }
}

/// Whether a content type is that of gRPC: `application/grpc`, alone or with what encodes the
/// messages behind `+` or `;`. `application/grpc-web` is another protocol.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    match content_type.split_at_checked(GRPC.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(GRPC)
                && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// `grpc-timeout` in nanoseconds: at most eight digits and a unit.
#[must_use]
pub fn timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let unit: u64 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // Eight digits of hours are more nanoseconds than there is room for; as good as never.
    Some(number.saturating_mul(unit))
}

/// Whether a path is that of a method: `/{service}/{method}`.
#[must_use]
pub fn method_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let (service, method) = name.rsplit_once('/')?;
    (!service.is_empty() && !method.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/gRPC",
        ] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/json",
            "application/grp",
        ] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn statuses_are_read() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(Code::from_header(number.to_string().as_bytes()), code);
        }
        for odd in ["", "17", "-1", "0x1", "99999999999999999999"] {
            assert_eq!(Code::from_header(odd.as_bytes()), Code::Unknown, "{odd}");
        }
    }

    #[test]
    fn timeouts_are_read() {
        assert_eq!(timeout(b"1S"), Some(1_000_000_000));
        assert_eq!(timeout(b"100m"), Some(100_000_000));
        assert_eq!(timeout(b"7n"), Some(7));
        assert_eq!(timeout(b"99999999H"), Some(u64::MAX));
        for bad in ["", "S", "1", "1s", "123456789S", "-1S", "+1S"] {
            assert_eq!(timeout(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn methods_are_service_and_name() {
        assert_eq!(method_of("/a.B/C"), Some("a.B/C"));
        assert_eq!(
            method_of("/p/a.B/C"),
            Some("p/a.B/C"),
            "a prefix is allowed"
        );
        for bad in ["", "/", "/a", "//", "/a/", "//b", "a/b"] {
            assert_eq!(method_of(bad), None, "{bad}");
        }
    }
}
