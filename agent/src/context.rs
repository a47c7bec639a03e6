//! Trace context in request headers: which trace the request belongs to, and who its parent is.
//!
//! Headers are input from anybody. Each format has a parser of its own that takes what its
//! specification allows and nothing else: what does not fit is no trace context, never a repaired
//! one. A header that must come once and comes twice is none either. Where a request carries
//! several formats, the first of the configured order that is valid counts, and only that one: two
//! formats are never mixed. (The propagators of the OpenTelemetry SDK are more lenient and drop the
//! random flag, which is why they are not used.)

mod b3;
mod datadog;
mod hex;
mod jaeger;
pub mod tracestate;
mod w3c;
mod xray;

use crate::exchange::TraceContext;

/// A format of trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `traceparent` and `tracestate` (W3C Trace Context).
    W3c,
    /// `b3`.
    B3,
    /// `X-B3-TraceId` and those that belong to it.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
    /// `x-datadog-trace-id` and those that belong to it.
    Datadog,
    /// `X-Amzn-Trace-Id`.
    XRay,
}

impl Format {
    /// All of them, in the order in which they are tried by default.
    pub const ALL: [Self; 6] = [
        Self::W3c,
        Self::B3,
        Self::B3Multi,
        Self::Jaeger,
        Self::Datadog,
        Self::XRay,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::Datadog => "datadog",
            Self::XRay => "xray",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The headers that are looked at, in lower case.
const HEADERS: [&str; 14] = [
    "b3",
    "tracestate",
    "traceparent",
    "x-b3-flags",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-b3-sampled",
    "uber-trace-id",
    "x-datadog-tags",
    "x-amzn-trace-id",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-b3-parentspanid",
    "x-datadog-sampling-priority",
];

/// The header of that name in lower case, if it is one that carries trace context.
#[must_use]
pub fn header(name: &[u8]) -> Option<&'static str> {
    HEADERS.into_iter().find(|header| header.as_bytes() == name)
}

/// A header that may come once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Once<'a> {
    #[default]
    Absent,
    One(&'a [u8]),
    /// It came more than once, be it with the same value.
    Several,
}

impl<'a> Once<'a> {
    const fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    /// Its value; `None` if it is absent or came more than once.
    const fn one(self) -> Option<&'a [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Several => None,
        }
    }
}

/// The headers of one request that carry trace context, picked out of all of them.
#[derive(Debug, Default)]
pub struct Carrier<'a> {
    traceparent: Once<'a>,
    tracestate: Vec<&'a [u8]>,
    b3: Once<'a>,
    b3_multi: b3::Headers<'a>,
    jaeger: Once<'a>,
    datadog: datadog::Headers<'a>,
    xray: Once<'a>,
    /// There is any of them.
    any: bool,
}

/// What the headers of a request say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The trace and the parent.
    pub context: TraceContext,
    /// `tracestate`, valid and bounded; only beside a `traceparent` that is valid.
    pub tracestate: Option<String>,
}

impl<'a> Carrier<'a> {
    /// Takes a header, if it is one that carries trace context. Names are compared without regard
    /// to case (RFC 9110 §5.1).
    pub fn take(&mut self, name: &str, value: &'a [u8]) {
        let is = |header: &str| name.eq_ignore_ascii_case(header);
        // The length tells most of them apart for free.
        let slot = match name.len() {
            2 if is("b3") => &mut self.b3,
            10 if is("tracestate") => {
                // One more than there may be members is enough to see that there are too many.
                if self.tracestate.len() <= tracestate::MEMBER_LIMIT {
                    self.tracestate.push(value);
                }
                return;
            }
            10 if is("x-b3-flags") => &mut self.b3_multi.flags,
            11 if is("traceparent") => &mut self.traceparent,
            11 if is("x-b3-spanid") => &mut self.b3_multi.span_id,
            12 if is("x-b3-traceid") => &mut self.b3_multi.trace_id,
            12 if is("x-b3-sampled") => &mut self.b3_multi.sampled,
            13 if is("uber-trace-id") => &mut self.jaeger,
            14 if is("x-datadog-tags") => &mut self.datadog.tags,
            15 if is("x-amzn-trace-id") => &mut self.xray,
            17 if is("x-b3-parentspanid") => &mut self.b3_multi.parent,
            18 if is("x-datadog-trace-id") => &mut self.datadog.trace_id,
            19 if is("x-datadog-parent-id") => &mut self.datadog.parent_id,
            27 if is("x-datadog-sampling-priority") => &mut self.datadog.priority,
            _ => return,
        };
        slot.add(value);
        self.any = true;
    }

    /// Reads the first format of `order` that is there and valid.
    #[must_use]
    pub fn read(&self, order: &[Format]) -> Option<Found> {
        if !self.any {
            return None;
        }
        order.iter().find_map(|format| {
            let context = match format {
                Format::W3c => self.traceparent.one().and_then(w3c::parse),
                Format::B3 => self.b3.one().and_then(b3::parse),
                Format::B3Multi => self.b3_multi.read(),
                Format::Jaeger => self.jaeger.one().and_then(jaeger::parse),
                Format::Datadog => self.datadog.read(),
                Format::XRay => self.xray.one().and_then(xray::parse),
            }?;
            let tracestate = match format {
                Format::W3c => tracestate::parse(&self.tracestate),
                _ => None,
            };
            Some(Found {
                context,
                tracestate,
            })
        })
    }
}

/// The context that a format other than W3C's names, unless the trace id is zero.
fn context(trace_id: [u8; 16], parent_id: [u8; 8], sampled: Option<bool>) -> Option<TraceContext> {
    (trace_id != [0; 16]).then_some(TraceContext {
        trace_id,
        parent_id,
        flags: u8::from(sampled == Some(true)),
        deferred: sampled.is_none(),
    })
}

#[cfg(test)]
mod tests;
