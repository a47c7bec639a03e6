//! Which service a process is.

use std::sync::Arc;

/// How a service got its name, from the surest to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameSource {
    /// `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` in its environment.
    Environment,
    /// The container its cgroup names.
    Container,
    /// The systemd unit its cgroup names.
    Unit,
    /// What an interpreter or virtual machine runs: script, module, jar.
    Program,
    /// The executable.
    Executable,
    /// `comm`, all that is left of a process that was gone before it could be looked at.
    Comm,
}

/// A service: one Resource in the terms of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// `service.name`, label `service_name`.
    pub name: Arc<str>,
    /// `service.namespace`, label `service_namespace`.
    pub namespace: Option<Arc<str>>,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.instance.id`.
    pub instance_id: Arc<str>,
    /// `process.pid`.
    pub pid: u32,
    /// `process.executable.name`.
    pub executable: Option<Arc<str>>,
    /// `container.id`.
    pub container_id: Option<Arc<str>>,
    /// Further resource attributes that the process names in `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
    /// Where the name is from.
    pub source: NameSource,
}
