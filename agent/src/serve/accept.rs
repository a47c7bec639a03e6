//! Content negotiation (RFC 9110 §12).
//!
//! A client that names nothing we have gets text 0.0.4: Prometheus asks of a target that it fall
//! back to that rather than refuse.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::telemetry::page::Format;

/// The format that `Accept` prefers; OpenMetrics if it is preferred no less than text.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut open_metrics = 0;
    let mut text: Option<Choice> = None;
    for element in elements(headers, &ACCEPT) {
        let Some(quality) = element.quality() else {
            continue;
        };
        let version = element.parameter("version");
        let (specific, matches) = match element.name.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                if version.is_none_or(|version| version == "1.0.0") {
                    open_metrics = open_metrics.max(quality);
                }
                continue;
            }
            "text/plain" => (3, version.is_none_or(|version| version == "0.0.4")),
            "text/*" => (2, true),
            "*/*" => (1, true),
            _ => continue,
        };
        // The most specific range that matches decides (RFC 9110 §12.5.1).
        let choice = Choice { specific, quality };
        if matches && text.is_none_or(|best| choice > best) {
            text = Some(choice);
        }
    }
    let text = text.map_or(0, |choice| choice.quality);
    if open_metrics > 0 && open_metrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether `Accept-Encoding` allows gzip, and prefers it no less than no encoding.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in elements(headers, &ACCEPT_ENCODING) {
        let Some(quality) = element.quality() else {
            continue;
        };
        match element.name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "identity" => identity = Some(quality),
            "*" => any = Some(quality),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    specific: u8,
    quality: u16,
}

/// One element of a list header: a name and its parameters.
struct Element<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Element<'a> {
    fn parse(text: &'a str) -> Self {
        let mut pieces = split(text, b';');
        let name = pieces.next().unwrap_or_default();
        let parameters = pieces
            .filter_map(|piece| piece.split_once('='))
            .map(|(name, value)| (name.trim(), unquoted(value.trim())))
            .collect();
        Self { name, parameters }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The weight in thousandths, 1000 if there is none; `None` if it is malformed
    /// (RFC 9110 §12.4.2).
    fn quality(&self) -> Option<u16> {
        let Some(text) = self.parameter("q") else {
            return Some(1000);
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
        match (whole, thousandths) {
            ("0", thousandths) => Some(thousandths),
            ("1", 0) => Some(1000),
            _ => None,
        }
    }
}

/// The elements of all fields with a name; a field that is not text is passed over.
fn elements<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = Element<'a>> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, b','))
        .map(Element::parse)
}

/// Splits outside of quoted strings (RFC 9110 §5.6.4) and trims.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if byte == separator && !quoted => {
                    rest = Some(&text[at + 1..]);
                    return Some(text[..at].trim());
                }
                _ => {}
            }
        }
        rest = None;
        Some(text.trim())
    })
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        values
            .iter()
            .map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    fn format_of(values: &[&str]) -> Format {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        format(&headers(ACCEPT, &values))
    }

    #[test]
    fn prometheus_gets_open_metrics() {
        for accept in [
            // 2.42
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // 3.x
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "text/plain, application/openmetrics-text",
            "text/plain;q=0.5, Application/OpenMetrics-Text; Version=\"1.0.0\"; q=0.5",
            "application/openmetrics-text;q=0.001",
        ] {
            assert_eq!(format_of(&[accept]), Format::OpenMetrics, "{accept}");
        }
        assert_eq!(
            format_of(&["text/html", "application/openmetrics-text"]),
            Format::OpenMetrics
        );
    }

    #[test]
    fn others_get_text() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.000,text/plain;q=0.1",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            "application/openmetrics-text;q=0.4,text/*;q=0.5",
            "application/openmetrics-text;q=0.4,*/*;q=0.5",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=1.001",
            "application/openmetrics-text;q=",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text;q=0.1234",
            "application/json",
            ",;,=;q",
            "text/plain;note=\"a,application/openmetrics-text\"",
            "\"application/openmetrics-text",
        ] {
            assert_eq!(format_of(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(format_of(&[]), Format::Text);
        assert_eq!(
            format(&headers(ACCEPT, &[b"application/openmetrics-text\xff"])),
            Format::Text
        );
    }

    #[test]
    fn a_more_specific_range_decides_over_a_wider_one() {
        assert_eq!(
            format_of(&["*/*;q=0.9, application/openmetrics-text;q=0.5, text/plain;q=0.1"]),
            Format::OpenMetrics
        );
        assert_eq!(
            format_of(&["text/plain;version=1.0.0;q=0.9, application/openmetrics-text;q=0.5"]),
            Format::OpenMetrics,
            "that text version is not ours"
        );
    }

    #[test]
    fn gzip_only_if_asked_for() {
        let gzip = |value: &str| gzip(&headers(ACCEPT_ENCODING, &[value.as_bytes()]));
        for value in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip;q=0.5",
            "*",
            "gzip, identity",
        ] {
            assert!(gzip(value), "{value}");
        }
        for value in [
            "",
            "identity",
            "gzip;q=0",
            "*, gzip;q=0",
            "br",
            "gzip;q=0.5, identity",
            "gzip;q=x",
        ] {
            assert!(!gzip(value), "{value}");
        }
        assert!(!super::gzip(&HeaderMap::new()));
    }
}
