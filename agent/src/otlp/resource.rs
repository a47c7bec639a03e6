//! The Resource of a service: who did it, never the agent.
//!
//! Source: OpenTelemetry semantic conventions, `docs/resource/`. What a process says about itself
//! in `OTEL_RESOURCE_ATTRIBUTES` wins over what the agent found out from outside; the service's
//! identity, which has been settled already, and `telemetry.*` are not the process's to say.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::convert::attribute;
use crate::identity::Service;

/// What all Resources share: the machine.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// `host.name`.
    pub(super) name: String,
}

impl Host {
    /// Asks the kernel.
    pub(super) fn read() -> Self {
        Self {
            name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        }
    }
}

pub(super) fn resource(service: &Service, host: &Host) -> Resource {
    let Service {
        name,
        namespace,
        version,
        instance_id,
        pid,
        executable,
        container_id,
        attributes: own,
        source: _,
    } = service;
    let text = |value: &str| Value::StringValue(value.to_owned());
    let agent = env!("CARGO_PKG_NAME");
    let release = env!("CARGO_PKG_VERSION");

    let settled = [
        ("service.name", Some(text(name))),
        ("service.namespace", namespace.as_deref().map(text)),
        ("service.version", version.as_deref().map(text)),
        ("service.instance.id", Some(text(instance_id))),
        // `opentelemetry` is reserved for the project's own SDKs.
        ("telemetry.sdk.name", Some(text(agent))),
        ("telemetry.sdk.language", Some(text("rust"))),
        ("telemetry.sdk.version", Some(text(release))),
        ("telemetry.distro.name", Some(text(agent))),
        ("telemetry.distro.version", Some(text(release))),
    ];
    let found = [
        ("process.pid", Some(Value::IntValue((*pid).into()))),
        ("process.executable.name", executable.as_deref().map(text)),
        ("container.id", container_id.as_deref().map(text)),
        ("host.name", Some(text(&host.name))),
    ];

    let mut attributes = Vec::with_capacity(settled.len() + found.len() + own.len());
    let named = |key: &str| own.iter().any(|(named, _)| **named == *key);
    for (key, value) in settled
        .iter()
        .chain(found.iter().filter(|(key, _)| !named(key)))
    {
        if let Some(value) = value {
            attributes.push(attribute(key, value.clone()));
        }
    }
    for (at, (key, value)) in own.iter().enumerate() {
        let repeated = own[..at].iter().any(|(earlier, _)| earlier == key);
        if !repeated && !key.is_empty() && !settled.iter().any(|(settled, _)| *settled == &**key) {
            attributes.push(attribute(key, text(value)));
        }
    }
    Resource {
        attributes,
        ..Resource::default()
    }
}
