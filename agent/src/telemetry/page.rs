//! The two text formats of a page of metrics, written straight to where it goes.
//!
//! prometheus-client writes OpenMetrics from its own types, one label at a time. That is right for
//! the agent's own counters, and too slow for ten thousand histograms, so those are written here:
//! the labels of a series are spelled once, when the series is made. Nothing holds a whole page.

use std::fmt;
use std::io;
use std::io::Write as _;

use super::seconds::Seconds;

/// Size at which what was written is handed on, in bytes.
const CHUNK: usize = 64 * 1024;

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text exposition format 0.0.4.
    Text,
}

impl Format {
    /// Value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A part of the page that writes itself.
pub trait Section: fmt::Debug + Send + Sync + 'static {
    /// Writes whole families.
    ///
    /// # Errors
    ///
    /// Those of the page.
    fn write(&self, page: &mut Page<'_>) -> io::Result<()>;
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value that only grows, from the agent's start or the kernel's.
    Counter,
    /// One value that goes up and down.
    Gauge,
    /// Counts in buckets, with a sum.
    Histogram,
}

/// A metric family. Name and help are the program's own and are not escaped.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The whole name, unit included, without the `_total` that the samples of a counter have.
    pub name: &'static str,
    /// One sentence on one line, without a backslash.
    pub help: &'static str,
    /// The unit that the name ends with.
    pub unit: Option<&'static str>,
    /// The type.
    pub kind: Kind,
    /// Where the values are from: the kernel's name for the hook or the file. For the reference.
    pub source: &'static str,
    /// The labels that its series may have, but `le`. For the reference.
    pub labels: &'static [&'static str],
}

impl Family {
    /// What the name of a sample has and the name of the family in OpenMetrics has not.
    const fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        }
    }

    /// The name that Prometheus stores: of the samples, or what those of a histogram begin with.
    #[must_use]
    pub fn stored_name(&self) -> String {
        format!("{}{}", self.name, self.suffix())
    }
}

/// A span that stands for a bucket, by its ids and with its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// 16 bytes.
    pub trace_id: [u8; 16],
    /// 8 bytes.
    pub span_id: [u8; 8],
    /// The duration that was counted in the bucket, ns.
    pub value_ns: u64,
    /// When the span ended, ns since 1970-01-01 UTC.
    pub time_unix_ns: u64,
}

impl fmt::Display for Exemplar {
    /// As OpenMetrics 1.0.0 has it. The labels have 63 characters of the 128 that are allowed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(" # {trace_id=\"")?;
        for byte in self.trace_id {
            write!(out, "{byte:02x}")?;
        }
        out.write_str("\",span_id=\"")?;
        for byte in self.span_id {
            write!(out, "{byte:02x}")?;
        }
        let value = Seconds(self.value_ns.into());
        let time = Seconds(self.time_unix_ns.into());
        write!(out, "\"}} {value} {time}")
    }
}

/// A page being written. To be [finished](Page::finish).
pub struct Page<'a> {
    format: Format,
    out: &'a mut dyn io::Write,
    buffer: Vec<u8>,
    /// What the lines of the present histogram begin with.
    line: Vec<u8>,
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Page")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<'a> Page<'a> {
    /// An empty page that goes to `out` in pieces of about 64 KiB.
    pub fn new(format: Format, out: &'a mut dyn io::Write) -> Self {
        Self {
            format,
            out,
            buffer: Vec::with_capacity(CHUNK + CHUNK / 4),
            line: Vec::new(),
        }
    }

    /// Begins a family; its samples must follow before the next family.
    ///
    /// # Errors
    ///
    /// Those of where the page goes.
    pub fn family(&mut self, family: &Family) -> io::Result<()> {
        let Family {
            name,
            help,
            unit,
            kind,
            ..
        } = family;
        // The older format knows no other name of a counter than that of its sample.
        let suffix = match self.format {
            Format::OpenMetrics => "",
            Format::Text => family.suffix(),
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write!(
            self.buffer,
            "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
        )?;
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            writeln!(self.buffer, "# UNIT {name} {unit}")?;
        }
        self.hand_on()
    }

    /// One sample of a counter or gauge. `labels` is what [`push_label`] made; the value must print
    /// as a number.
    ///
    /// # Errors
    ///
    /// Those of where the page goes.
    pub fn sample(
        &mut self,
        family: &Family,
        labels: &str,
        value: impl fmt::Display,
    ) -> io::Result<()> {
        write!(self.buffer, "{}{}", family.name, family.suffix())?;
        if !labels.is_empty() {
            write!(self.buffer, "{{{labels}}}")?;
        }
        writeln!(self.buffer, " {value}")?;
        self.hand_on()
    }

    /// One histogram. `buckets` are values of `le` with the count in that bucket alone, ascending
    /// and with `+Inf` last; `labels` is what [`push_label`] made.
    ///
    /// # Errors
    ///
    /// Those of where the page goes.
    pub fn histogram(
        &mut self,
        family: &Family,
        labels: &str,
        buckets: impl Iterator<Item = (&'static str, u64)>,
        sum: impl fmt::Display,
    ) -> io::Result<()> {
        self.histogram_with(family, labels, buckets, sum, |_| None)
    }

    /// As [`histogram`](Self::histogram), with an exemplar for each bucket that has one, by its
    /// number; in OpenMetrics only.
    ///
    /// # Errors
    ///
    /// Those of where the page goes.
    pub fn histogram_with<'e>(
        &mut self,
        family: &Family,
        labels: &str,
        buckets: impl Iterator<Item = (&'static str, u64)>,
        sum: impl fmt::Display,
        exemplar: impl Fn(usize) -> Option<&'e Exemplar>,
    ) -> io::Result<()> {
        let name = family.name.as_bytes();
        let labels = labels.as_bytes();
        self.line.clear();
        let comma: &[u8] = if labels.is_empty() { b"" } else { b"," };
        for part in [name, b"_bucket{", labels, comma, b"le=\""] {
            self.line.extend_from_slice(part);
        }
        let (open, shut): (&[u8], &[u8]) = if labels.is_empty() {
            (b"", b"")
        } else {
            (b"{", b"}")
        };
        let mut count = 0;
        let mut digits = itoa::Buffer::new();
        for (number, (le, in_bucket)) in buckets.enumerate() {
            count += in_bucket;
            let value = digits.format(count).as_bytes();
            for part in [&self.line[..], le.as_bytes(), b"\"} ", value] {
                self.buffer.extend_from_slice(part);
            }
            if self.format == Format::OpenMetrics
                && let Some(exemplar) = exemplar(number)
            {
                write!(self.buffer, "{exemplar}")?;
            }
            self.buffer.push(b'\n');
        }
        for part in [name, b"_sum", open, labels, shut, b" "] {
            self.buffer.extend_from_slice(part);
        }
        write!(self.buffer, "{sum}")?;
        let value = digits.format(count).as_bytes();
        for part in [
            b"\n", name, b"_count", open, labels, shut, b" ", value, b"\n",
        ] {
            self.buffer.extend_from_slice(part);
        }
        self.hand_on()
    }

    /// Whole families that are already in the page's format, without an end mark.
    pub(crate) fn raw(&mut self, text: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(text);
        self.hand_on()
    }

    /// Hands on what is left, of a page that is a part of another.
    pub(crate) fn flush(self) -> io::Result<()> {
        self.out.write_all(&self.buffer)
    }

    /// The format that is written.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Ends the page and hands on what is left.
    ///
    /// # Errors
    ///
    /// Those of where the page goes.
    pub fn finish(mut self) -> io::Result<()> {
        match self.format {
            Format::OpenMetrics => self.buffer.extend_from_slice(b"# EOF\n"),
            Format::Text => {}
        }
        self.out.write_all(&self.buffer)?;
        self.out.flush()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.buffer.len() >= CHUNK {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Appends `name="value"`, after a comma unless it is the first. The value is escaped as both
/// formats ask: backslash, quotation mark, line feed.
pub fn push_label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for char in value.chars() {
        match char {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push('"');
}
