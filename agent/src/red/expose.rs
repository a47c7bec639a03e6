//! The request metrics on a page.

use std::fmt;
use std::io;

use super::counts::Counts;
use super::histogram::{Bound, DURATION, Histogram, SIZE};
use super::store::{Counted, Figures, Group, Line, Snapshot};
use super::{Red, Role};
use crate::telemetry::page::{Family, Format, Kind, Page, Section};
use crate::telemetry::seconds::Seconds;

/// Where all of these are from.
const SOURCE: &str = "the exchanges heard on sockets";

/// Labels of the requests that a service serves.
const SERVED: &[&str] = &[
    "service_name",
    "service_namespace",
    "http_request_method",
    "url_scheme",
    "http_route",
    "http_response_status_code",
    "error_type",
    "network_protocol_version",
];

/// Labels of the requests that it sends.
const SENT: &[&str] = &[
    "service_name",
    "service_namespace",
    "http_request_method",
    "url_scheme",
    "http_response_status_code",
    "error_type",
    "network_protocol_version",
    "server_address",
    "server_port",
];

/// Labels of those under way.
const ACTIVE: &[&str] = &[
    "service_name",
    "service_namespace",
    "http_request_method",
    "url_scheme",
];

/// Labels of the calls that a service serves.
const CALLS_SERVED: &[&str] = &[
    "service_name",
    "service_namespace",
    "rpc_system_name",
    "rpc_method",
    "rpc_response_status_code",
    "error_type",
];

/// Labels of the calls that it sends.
const CALLS_SENT: &[&str] = &[
    "service_name",
    "service_namespace",
    "rpc_system_name",
    "rpc_method",
    "rpc_response_status_code",
    "error_type",
    "server_address",
    "server_port",
];

/// Labels of what is a service's as a whole.
const SERVICE: &[&str] = &["service_name", "service_namespace"];

const fn seconds(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family {
        name,
        help,
        unit: Some("seconds"),
        kind: Kind::Histogram,
        source: SOURCE,
        labels,
    }
}

const fn bytes(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family {
        name,
        help,
        unit: Some("bytes"),
        kind: Kind::Histogram,
        source: SOURCE,
        labels,
    }
}

const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family {
        name,
        help,
        unit: None,
        kind: Kind::Gauge,
        source: SOURCE,
        labels,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family {
        name,
        help,
        unit: None,
        kind: Kind::Counter,
        source: SOURCE,
        labels,
    }
}

/// One of the figures of streams.
type Figure = fn(&Figures) -> u64;

/// The metrics of one role.
struct Families {
    role: Role,
    call: Family,
    sent: Family,
    received: Family,
    streams: [(Family, Figure); 5],
    duration: Family,
    first_byte: Family,
    request_size: Family,
    response_size: Family,
    active: Family,
}

const SERVER: Families = Families {
    role: Role::Server,
    call: seconds(
        "rpc_server_call_duration_seconds",
        "Duration of incoming remote procedure calls, from the first byte read to the last byte written.",
        CALLS_SERVED,
    ),
    sent: counter(
        "hark_rpc_server_messages_sent",
        "Messages that the service sent in answer to calls that have ended.",
        CALLS_SERVED,
    ),
    received: counter(
        "hark_rpc_server_messages_received",
        "Messages that the service received in calls that have ended.",
        CALLS_SERVED,
    ),
    streams: [
        (
            gauge(
                "hark_http2_server_active_streams",
                "Number of HTTP/2 streams under way to the service.",
                SERVICE,
            ),
            |figures| figures.active,
        ),
        (
            gauge(
                "hark_http2_server_active_connections",
                "Number of HTTP/2 connections with streams under way to the service.",
                SERVICE,
            ),
            |figures| figures.connections,
        ),
        (
            gauge(
                "hark_http2_server_active_streams_busiest_connection",
                "Number of HTTP/2 streams under way to the service on that of its connections which has most.",
                SERVICE,
            ),
            |figures| figures.busiest,
        ),
        (
            counter(
                "hark_http2_server_streams_at_limit",
                "HTTP/2 requests that took the last stream that the server allows on a connection at a time: the next one waits in the client, where it cannot be seen.",
                SERVICE,
            ),
            |figures| figures.at_limit,
        ),
        (
            counter(
                "hark_http2_server_streams_refused",
                "HTTP/2 streams that the server did not take up: reset with REFUSED_STREAM, or above the last one of its GOAWAY.",
                SERVICE,
            ),
            |figures| figures.refused,
        ),
    ],
    duration: seconds(
        "http_server_request_duration_seconds",
        "Duration of HTTP server requests, from the first byte read to the last byte written.",
        SERVED,
    ),
    first_byte: seconds(
        "hark_http_server_time_to_first_byte_seconds",
        "Time from the first byte of an HTTP request read to the first byte of its response written.",
        SERVED,
    ),
    request_size: bytes(
        "http_server_request_body_size_bytes",
        "Size of HTTP server request bodies.",
        SERVED,
    ),
    response_size: bytes(
        "http_server_response_body_size_bytes",
        "Size of HTTP server response bodies.",
        SERVED,
    ),
    active: gauge(
        "http_server_active_requests",
        "Number of active HTTP server requests.",
        ACTIVE,
    ),
};

const CLIENT: Families = Families {
    role: Role::Client,
    call: seconds(
        "rpc_client_call_duration_seconds",
        "Duration of outgoing remote procedure calls, from the first byte written to the last byte read.",
        CALLS_SENT,
    ),
    sent: counter(
        "hark_rpc_client_messages_sent",
        "Messages that the service sent in calls that have ended.",
        CALLS_SENT,
    ),
    received: counter(
        "hark_rpc_client_messages_received",
        "Messages that the service received in answer to calls that have ended.",
        CALLS_SENT,
    ),
    streams: [
        (
            gauge(
                "hark_http2_client_active_streams",
                "Number of HTTP/2 streams under way from the service.",
                SERVICE,
            ),
            |figures| figures.active,
        ),
        (
            gauge(
                "hark_http2_client_active_connections",
                "Number of HTTP/2 connections with streams under way from the service.",
                SERVICE,
            ),
            |figures| figures.connections,
        ),
        (
            gauge(
                "hark_http2_client_active_streams_busiest_connection",
                "Number of HTTP/2 streams under way from the service on that of its connections which has most.",
                SERVICE,
            ),
            |figures| figures.busiest,
        ),
        (
            counter(
                "hark_http2_client_streams_at_limit",
                "HTTP/2 requests that took the last stream that the server allows on a connection at a time: the next one waits in the client, where it cannot be seen.",
                SERVICE,
            ),
            |figures| figures.at_limit,
        ),
        (
            counter(
                "hark_http2_client_streams_refused",
                "HTTP/2 streams that the server did not take up: reset with REFUSED_STREAM, or above the last one of its GOAWAY.",
                SERVICE,
            ),
            |figures| figures.refused,
        ),
    ],
    duration: seconds(
        "http_client_request_duration_seconds",
        "Duration of HTTP client requests, from the first byte written to the last byte read.",
        SENT,
    ),
    first_byte: seconds(
        "hark_http_client_time_to_first_byte_seconds",
        "Time from the first byte of an HTTP request written to the first byte of its response read.",
        SENT,
    ),
    request_size: bytes(
        "http_client_request_body_size_bytes",
        "Size of HTTP client request bodies.",
        SENT,
    ),
    response_size: bytes(
        "http_client_response_body_size_bytes",
        "Size of HTTP client response bodies.",
        SENT,
    ),
    active: gauge(
        "http_client_active_requests",
        "Number of active HTTP client requests.",
        ACTIVE,
    ),
};

impl Section for Red {
    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let snapshot = self.snapshot(page.format() == Format::OpenMetrics);
        for families in [&SERVER, &CLIENT] {
            families.write(&snapshot, page)?;
        }
        Ok(())
    }
}

impl Families {
    fn write(&self, snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
        let Self {
            role,
            call,
            sent,
            received,
            streams,
            duration,
            first_byte,
            request_size,
            response_size,
            active,
        } = self;
        let calls = Lines {
            snapshot,
            role: *role,
            group: Group::Rpc,
        };
        calls.durations(page, call)?;
        calls.counter(page, sent, |counts| counts.sent)?;
        calls.counter(page, received, |counts| counts.received)?;
        let write = Lines {
            snapshot,
            role: *role,
            group: Group::Http,
        };
        write.durations(page, duration)?;
        write.family(
            page,
            first_byte,
            &DURATION,
            |counts| &counts.first_byte,
            Seconds,
        )?;
        write.family(
            page,
            request_size,
            &SIZE,
            |counts| &counts.request_size,
            |sum| sum,
        )?;
        write.family(
            page,
            response_size,
            &SIZE,
            |counts| &counts.response_size,
            |sum| sum,
        )?;
        plain(page, active, of_role(&snapshot.active, *role), |count| {
            *count
        })?;
        for (family, figure) in streams {
            plain(page, family, of_role(&snapshot.streams, *role), figure)?;
        }
        Ok(())
    }
}

struct Lines<'a> {
    snapshot: &'a Snapshot,
    role: Role,
    group: Group,
}

/// Those of one role.
fn of_role<T>(lines: &[Line<T>], role: Role) -> impl Iterator<Item = &Line<T>> {
    lines.iter().filter(move |line| line.role == role)
}

/// A family of one sample for each line, if there are any.
fn plain<'a, T: 'a, V: fmt::Display>(
    page: &mut Page<'_>,
    family: &Family,
    lines: impl Iterator<Item = &'a Line<T>>,
    value: impl Fn(&T) -> V,
) -> io::Result<()> {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            page.family(family)?;
        }
        page.sample(family, &line.labels, value(&line.value))?;
    }
    Ok(())
}

impl<'a> Lines<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Line<Counted>> + use<'a> {
        let group = self.group;
        of_role(&self.snapshot.counts, self.role).filter(move |line| line.value.group == group)
    }

    fn counter(
        &self,
        page: &mut Page<'_>,
        family: &Family,
        value: impl Fn(&Counts) -> u64,
    ) -> io::Result<()> {
        plain(page, family, self.all(), |counted| value(&counted.counts))
    }

    /// The histograms that have exemplars.
    fn durations(&self, page: &mut Page<'_>, family: &Family) -> io::Result<()> {
        let lines = (self.all()).filter(|line| !line.value.counts.duration.is_empty());
        for (at, line) in lines.enumerate() {
            if at == 0 {
                page.family(family)?;
            }
            let histogram = &line.value.counts.duration;
            let bounds = DURATION.iter().map(|bound| bound.le).chain(["+Inf"]);
            let buckets = bounds.zip(histogram.counts);
            let sum = Seconds(histogram.sum);
            let exemplar = |bucket| line.value.exemplars.of(bucket);
            page.histogram_with(family, &line.labels, buckets, sum, exemplar)?;
        }
        Ok(())
    }

    fn family<const N: usize, S: fmt::Display>(
        &self,
        page: &mut Page<'_>,
        family: &Family,
        bounds: &[Bound],
        histogram: impl Fn(&Counts) -> &Histogram<N>,
        sum: impl Fn(u128) -> S,
    ) -> io::Result<()> {
        let lines = self
            .all()
            .map(|line| (&line.labels, histogram(&line.value.counts)))
            .filter(|(_, histogram)| !histogram.is_empty());
        for (at, (labels, histogram)) in lines.enumerate() {
            if at == 0 {
                page.family(family)?;
            }
            let buckets = bounds
                .iter()
                .map(|bound| bound.le)
                .chain(["+Inf"])
                .zip(histogram.counts);
            page.histogram(family, labels, buckets, sum(histogram.sum))?;
        }
        Ok(())
    }
}
