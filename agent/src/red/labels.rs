//! What tells series apart, and how it is spelled.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::services::{ServiceId, ServiceName};
use super::target::Target;
use crate::exchange::{ErrorType, Exchange, Method, Protocol, Role};
use crate::telemetry::page::push_label;

/// Labels of the series that takes what finds no place of its own (OpenTelemetry metrics SDK,
/// cardinality limits).
pub(super) const OVERFLOW: &str = "otel_metric_overflow=\"true\"";

/// `url.scheme`. What was asked for can be anything at all in `X-Forwarded-Proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
    Other,
}

impl Scheme {
    /// Without a word about it in the request the scheme is what the socket carries: plain HTTP.
    pub(super) fn of(scheme: Option<&str>) -> Self {
        let Some(scheme) = scheme else {
            return Self::Http;
        };
        [Self::Http, Self::Https, Self::Ws, Self::Wss]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(scheme))
            .unwrap_or(Self::Other)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Other => "_OTHER",
        }
    }
}

/// The part of a key that active requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ActiveKey {
    pub(super) service: ServiceId,
    pub(super) role: Role,
    method: &'static str,
    scheme: Scheme,
}

impl ActiveKey {
    pub(super) fn new(
        service: ServiceId,
        role: Role,
        method: &Method,
        scheme: Option<&str>,
    ) -> Self {
        Self {
            service,
            role,
            method: method.name(),
            scheme: Scheme::of(scheme),
        }
    }

    pub(super) fn labels(&self, service: &ServiceName) -> Arc<str> {
        let mut labels = String::with_capacity(128);
        self.push(&mut labels, service);
        labels.into()
    }

    fn push(&self, labels: &mut String, service: &ServiceName) {
        push_label(labels, "service_name", &service.name);
        if let Some(namespace) = &service.namespace {
            push_label(labels, "service_namespace", namespace);
        }
        push_label(labels, "http_request_method", self.method);
        push_label(labels, "url_scheme", self.scheme.as_str());
    }
}

/// All of a key that is small and copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fixed {
    pub(super) active: ActiveKey,
    protocol: Protocol,
    status: Option<u16>,
    error: Option<ErrorType>,
    /// Client: the port asked for, else the peer's.
    pub(super) port: Option<u16>,
}

/// What tells the series of exchanges apart; borrowed, so that a look-up allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    pub(super) fixed: Fixed,
    /// Server: the route. Client: the address of the target.
    pub(super) target: Option<&'a str>,
}

impl<'a> Key<'a> {
    pub(super) fn new(exchange: &Exchange, service: ServiceId, target: &'a Target<'_>) -> Self {
        let request = &exchange.request;
        let scheme = request.scheme.as_deref();
        Self {
            fixed: Fixed {
                active: ActiveKey::new(service, exchange.role, &request.method, scheme),
                protocol: request.protocol,
                status: exchange.status,
                error: exchange.error,
                port: target.port,
            },
            target: target.text.as_deref(),
        }
    }

    pub(super) fn hash(&self, hasher: &impl BuildHasher) -> u64 {
        hasher.hash_one((self.fixed, self.target))
    }

    pub(super) fn kept(self) -> OwnedKey {
        OwnedKey {
            fixed: self.fixed,
            target: self.target.map(Into::into),
        }
    }

    /// The labels between the braces, in the order of the conventions. `error_type` is
    /// [`Exchange::error_type`] of any exchange with this key.
    pub(super) fn labels(&self, service: &ServiceName, error_type: Option<&str>) -> Arc<str> {
        let mut labels = String::with_capacity(256);
        let fixed = &self.fixed;
        fixed.active.push(&mut labels, service);
        if let (Role::Server, Some(route)) = (fixed.active.role, self.target) {
            push_label(&mut labels, "http_route", route);
        }
        if let Some(status) = fixed.status {
            push_label(
                &mut labels,
                "http_response_status_code",
                &status.to_string(),
            );
        }
        if let Some(error_type) = error_type {
            push_label(&mut labels, "error_type", error_type);
        }
        push_label(
            &mut labels,
            "network_protocol_version",
            fixed.protocol.version(),
        );
        if let Role::Client = fixed.active.role {
            if let Some(address) = self.target {
                push_label(&mut labels, "server_address", address);
            }
            if let Some(port) = fixed.port {
                push_label(&mut labels, "server_port", &port.to_string());
            }
        }
        labels.into()
    }
}

/// A key that is kept.
#[derive(Clone, Debug)]
pub(super) struct OwnedKey {
    fixed: Fixed,
    target: Option<Box<str>>,
}

impl OwnedKey {
    pub(super) fn as_key(&self) -> Key<'_> {
        Key {
            fixed: self.fixed,
            target: self.target.as_deref(),
        }
    }
}
