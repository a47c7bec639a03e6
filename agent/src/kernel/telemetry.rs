//! What the kernel side counted, as metrics. Read at the scrape; nothing is kept here.

use std::fmt;
use std::sync::Arc;

use hark_common::counter::Counter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::{Registry, Unit};

use super::socket::SocketPrograms;

/// Why exchanges were lost on the kernel side: the label `reason`, and the counter.
pub const LOST: [(&str, Counter); 6] = [
    ("ring_full", Counter::LostRingFull),
    ("unreadable", Counter::LostUnreadable),
    ("parse_error", Counter::LostParse),
    ("pipeline_depth", Counter::LostPipelineDepth),
    ("gap", Counter::LostGap),
    ("early_answer", Counter::LostEarly),
];

/// What sockets were taken for: the label `protocol`, and the counter.
const PROTOCOLS: [(&str, Counter); 5] = [
    ("http1", Counter::SocketsHttp1),
    ("http2", Counter::SocketsHttp2),
    ("tls", Counter::SocketsTls),
    ("other", Counter::SocketsOther),
    ("own", Counter::SocketsOwn),
];

/// Why the bytes of a message could not be read: the label `reason`, and the counter.
const UNREADABLE: [(&str, Counter); 4] = [
    ("foreign_buffer", Counter::UnreadableForeign),
    ("page_fault", Counter::UnreadableFault),
    ("compat_task", Counter::UnreadableCompat),
    ("no_buffer", Counter::UnreadableSyscall),
];

/// Why a direction of an HTTP/2 connection could not be followed any longer: the label `reason`, and
/// the counter.
const HTTP2_LOST: [(&str, Counter); 4] = [
    ("unreadable", Counter::Http2LostUnreadable),
    ("parse_error", Counter::Http2LostParse),
    ("gap", Counter::Http2LostGap),
    ("too_many_frames", Counter::Http2LostTooMany),
];

/// Why what a call of a TLS library moved was not followed: the label `reason`, and the counter.
const TLS_UNREAD: [(&str, Counter); 5] = [
    ("no_socket", Counter::TlsUntied),
    ("entry_unseen", Counter::TlsUnentered),
    ("return_unseen", Counter::TlsUnreturned),
    ("no_memory", Counter::TlsBusy),
    ("table_full", Counter::TlsTableFull),
];

/// Events that spares took: the label `hook`, and the counter.
pub(super) const SPARED: [(&str, Counter); 2] = [
    ("sock_send_length", Counter::SpareSent),
    ("sock_recv_length", Counter::SpareReceived),
];

/// Events that were left to spares, likewise.
pub(super) const LEFT: [(&str, Counter); 2] = [
    ("sock_send_length", Counter::LeftSent),
    ("sock_recv_length", Counter::LeftReceived),
];

/// Where the counters are read: the kernel, or what plays it.
pub trait Source: Send + Sync + 'static {
    /// The sum of a counter over all CPUs.
    fn counter(&self, counter: Counter) -> u64;

    /// A counter by CPU.
    fn counter_per_cpu(&self, counter: Counter) -> Vec<u64>;

    /// Events that the kernel did not hand to a program: `(program, count)`.
    fn recursion_misses(&self) -> Vec<(&'static str, u64)>;
}

impl Source for SocketPrograms {
    fn counter(&self, counter: Counter) -> u64 {
        self.counter(counter)
    }

    fn counter_per_cpu(&self, counter: Counter) -> Vec<u64> {
        self.counter_per_cpu(counter)
    }

    fn recursion_misses(&self) -> Vec<(&'static str, u64)> {
        self.recursion_misses()
    }
}

/// Registers the kernel side's counters.
pub fn register<S: Source>(source: &Arc<S>, registry: &mut Registry) {
    registry.register_collector(Box::new(KernelCollector(Arc::clone(source))));
}

struct KernelCollector<S>(Arc<S>);

impl<S> fmt::Debug for KernelCollector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KernelCollector")
    }
}

impl<S: Source> KernelCollector<S> {
    fn one(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        counter: Counter,
    ) -> fmt::Result {
        let metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(self.0.counter(counter)).encode(metric)
    }

    fn http2(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.one(
            encoder,
            "hark_http2_frames",
            "Frames of HTTP/2 of any type that were followed, at either end.",
            None,
            Counter::Http2Frames,
        )?;
        self.one(
            encoder,
            "hark_http2_data",
            "Payload of the HTTP/2 DATA frames that were followed to their end, with padding.",
            Some(&Unit::Bytes),
            Counter::Http2DataBytes,
        )?;
        self.one(
            encoder,
            "hark_http2_records_lost",
            "Records with frames of HTTP/2 that found the ring buffer full.",
            None,
            Counter::Http2RecordsLost,
        )?;
        self.one(
            encoder,
            "hark_http2_frames_cut",
            "HTTP/2 frames whose payload was too long, or not readable, to be handed over whole.",
            None,
            Counter::Http2Cut,
        )?;
        self.one(
            encoder,
            "hark_http2_blocks_passed",
            "HTTP/2 header blocks that moved before it was certain that their connection is HTTP/2: requests or responses that are not reported.",
            None,
            Counter::Http2BlocksPassed,
        )?;
        self.one(
            encoder,
            "hark_http2_directions_joined",
            "Directions of HTTP/2 connections that were followed from the middle, or again after a loss.",
            None,
            Counter::Http2Joined,
        )?;
        Self::family(
            encoder,
            (
                "hark_http2_directions_lost",
                "Directions of HTTP/2 connections that could not be followed any longer, by reason.",
            ),
            "reason",
            HTTP2_LOST
                .iter()
                .map(|(label, counter)| (*label, self.0.counter(*counter))),
        )
    }

    fn family<'a>(
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            ConstCounter::new(count).encode(metric.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}

impl<S: Source> Collector for KernelCollector<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let read = |(label, counter): &(&'static str, Counter)| (*label, self.0.counter(*counter));
        self.one(
            encoder,
            "hark_records_submitted",
            "Records that the kernel side handed to the agent.",
            None,
            Counter::RecordsSubmitted,
        )?;
        let per_cpu: Vec<(String, u64)> = self
            .0
            .counter_per_cpu(Counter::RecordsLost)
            .into_iter()
            .enumerate()
            .map(|(cpu, count)| (cpu.to_string(), count))
            .collect();
        Self::family(
            encoder,
            (
                "hark_records_lost",
                "Records that found the ring buffer full, by the CPU they arose on.",
            ),
            "cpu",
            per_cpu.iter().map(|(cpu, count)| (cpu.as_str(), *count)),
        )?;
        self.one(
            encoder,
            "hark_exchanges_begun",
            "Requests whose request line was seen whole, at either end.",
            None,
            Counter::ExchangesBegun,
        )?;
        self.one(
            encoder,
            "hark_exchanges_handed_over",
            "Exchanges whose end the kernel side handed to the agent.",
            None,
            Counter::ExchangesEnded,
        )?;
        Self::family(
            encoder,
            (
                "hark_exchanges_lost",
                "Exchanges that the kernel side had to give up, by reason.",
            ),
            "reason",
            LOST.iter().map(read),
        )?;
        Self::family(
            encoder,
            (
                "hark_connections",
                "Stream sockets, each end counted, by what was recognised on them.",
            ),
            "protocol",
            PROTOCOLS.iter().map(read),
        )?;
        Self::family(
            encoder,
            (
                "hark_unreadable",
                "Messages on sockets that may be HTTP whose bytes could not be read, by reason.",
            ),
            "reason",
            UNREADABLE.iter().map(read),
        )?;
        self.one(
            encoder,
            "hark_gap",
            "Bytes that moved on HTTP connections without an event, by the sequence numbers.",
            Some(&Unit::Bytes),
            Counter::GapBytes,
        )?;
        self.one(
            encoder,
            "hark_socket_storage_failed",
            "Events on sockets for which the kernel had no memory to keep state.",
            None,
            Counter::StorageFailed,
        )?;
        self.http2(encoder)?;
        Self::family(
            encoder,
            (
                "hark_tls_calls_unread",
                "Calls of TLS libraries whose data was not followed, by reason.",
            ),
            "reason",
            TLS_UNREAD.iter().map(read),
        )?;
        Self::family(
            encoder,
            (
                "hark_events_skipped",
                "Events that a program was not handed, as it was running already, or could not take, and that no spare took.",
            ),
            "hook",
            self.0.recursion_misses(),
        )?;
        Self::family(
            encoder,
            (
                "hark_events_spared",
                "Events that a program was not handed, as it was running already, or could not take, and that its spare took (Linux 7.0 and later).",
            ),
            "hook",
            SPARED.iter().map(read),
        )
    }
}
