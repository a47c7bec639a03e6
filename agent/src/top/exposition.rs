//! A strict reader of the Prometheus text format 0.0.4 and of OpenMetrics text 1.0.
//!
//! It reads samples; of the comments it takes only `# EOF`. What neither format allows is an error
//! with its line: a page that is cut or garbled must not become a table of wrong numbers. Exemplars
//! and timestamps are checked for form and left out.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::borrow::Cow;

/// One line of the page that has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Metric name, with suffixes such as `_bucket`.
    pub name: &'a str,
    /// Labels in the order of the page; names are unique.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; may be infinite or not a number.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label; an empty one is the same as none.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| *label == name)
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }
}

/// A line that is in neither format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads a page. After an error the iterator ends.
#[must_use]
pub fn samples(page: &str) -> Samples<'_> {
    Samples {
        rest: page,
        line: 0,
        state: State::Reading,
    }
}

/// The samples of a page; see [`samples`].
#[derive(Debug)]
pub struct Samples<'a> {
    rest: &'a str,
    line: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// `# EOF` was read.
    Ended,
    Failed,
}

impl<'a> Iterator for Samples<'a> {
    type Item = Result<Sample<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.state == State::Failed || self.rest.is_empty() {
                return None;
            }
            self.line += 1;
            let Some((line, rest)) = self.rest.split_once('\n') else {
                return Some(Err(self.fail("the page is cut: its last line has no end")));
            };
            self.rest = rest;
            if self.state == State::Ended {
                return Some(Err(self.fail("something follows `# EOF`")));
            }
            if line == "# EOF" {
                self.state = State::Ended;
            } else if !line.is_empty() && !line.starts_with('#') {
                return Some(sample(line).map_err(|reason| self.fail(reason)));
            }
        }
    }
}

impl Samples<'_> {
    fn fail(&mut self, reason: &'static str) -> LineError {
        self.state = State::Failed;
        LineError {
            line: self.line,
            reason,
        }
    }
}

/// Reads one sample.
fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let (name, rest) = take_name(line, true).ok_or("the metric has no valid name")?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => take_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let rest = rest
        .strip_prefix([' ', '\t'])
        .or_else(|| (!labels.is_empty()).then_some(rest))
        .ok_or("there is no space before the value")?;
    let (rest, exemplar) = match rest.split_once(" # ") {
        Some((rest, exemplar)) => (rest, Some(exemplar)),
        None => (rest, None),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words
        .next()
        .and_then(number)
        .ok_or("the value is not a number")?;
    if words.next().is_some_and(|time| number(time).is_none()) {
        return Err("the timestamp is not a number");
    }
    if words.next().is_some() {
        return Err("something follows the value");
    }
    if let Some(exemplar) = exemplar {
        check_exemplar(exemplar)?;
    }
    Ok(Sample {
        name,
        labels,
        value,
    })
}

/// Takes a metric or label name off the front; only metric names have colons.
fn take_name(text: &str, colons: bool) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':')))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// Labels with their unescaped values, and what follows the closing brace.
type Labels<'a> = (Vec<(&'a str, Cow<'a, str>)>, &'a str);

/// Takes labels and the closing brace off the front.
fn take_labels(mut rest: &str) -> Result<Labels<'_>, &'static str> {
    let mut labels: Vec<(&str, Cow<'_, str>)> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = take_name(rest, false).ok_or("a label has no valid name")?;
        if labels.iter().any(|(other, _)| *other == name) {
            return Err("a label is there twice");
        }
        let after = after
            .trim_start_matches([' ', '\t'])
            .strip_prefix('=')
            .ok_or("a label has no `=`")?
            .trim_start_matches([' ', '\t'])
            .strip_prefix('"')
            .ok_or("a label's value is not in quotes")?;
        let (value, after) = take_quoted(after)?;
        labels.push((name, value));
        rest = after.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("labels are not separated by a comma"),
        }
    }
}

/// Takes a label value off the front, up to its closing quote. It allocates only for escapes.
fn take_quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest
            .find(['"', '\\'])
            .ok_or("a label's value has no closing quote")?;
        let (plain, after) = rest.split_at(end);
        if let Some(after) = after.strip_prefix('"') {
            if value.is_empty() && plain.len() == text.len() - after.len() - 1 {
                return Ok((Cow::Borrowed(plain), after));
            }
            value.push_str(plain);
            return Ok((Cow::Owned(value), after));
        }
        value.push_str(plain);
        let mut escape = after.chars();
        escape.next();
        value.push(match escape.next() {
            Some('\\') => '\\',
            Some('"') => '"',
            Some('n') => '\n',
            _ => return Err("a label's value has an unknown escape"),
        });
        rest = escape.as_str();
    }
}

/// Reads a number as both formats write it.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // Rust also reads words such as `infinity` and `nan`, which are not in the formats.
        _ if text.bytes().all(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')
        }) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

/// Checks the form of what follows `# `: labels, a value, perhaps a timestamp.
fn check_exemplar(text: &str) -> Result<(), &'static str> {
    let labels = text.strip_prefix('{').ok_or("the exemplar has no labels")?;
    let (_, rest) = take_labels(labels)?;
    let mut numbers = rest.split_ascii_whitespace();
    if numbers.next().and_then(number).is_none()
        || numbers.next().is_some_and(|time| number(time).is_none())
        || numbers.next().is_some()
    {
        return Err("the exemplar's value is not a number");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(page: &str) -> Result<Vec<Sample<'_>>, LineError> {
        samples(page).collect()
    }

    fn plain<'a>(name: &'a str, labels: &[(&'a str, &'a str)], value: f64) -> Sample<'a> {
        Sample {
            name,
            labels: labels
                .iter()
                .map(|(name, value)| (*name, Cow::Borrowed(*value)))
                .collect(),
            value,
        }
    }

    #[test]
    fn the_text_format() {
        let page = "# HELP a_total Help with \\n and \"quotes\".\n# TYPE a_total counter\n\
                    a_total 1\na_total{x=\"y\"} 2.5e3 1700000000000\n\n\
                    a:b{ x = \"1\" , y = \"2\", }\t-3\nc{} NaN\nd +Inf\n";
        let mut samples = read(page).unwrap();
        let nan = samples.remove(3);
        assert!(nan.value.is_nan() && nan.name == "c" && nan.labels.is_empty());
        assert_eq!(
            samples,
            [
                plain("a_total", &[], 1.0),
                plain("a_total", &[("x", "y")], 2500.0),
                plain("a:b", &[("x", "1"), ("y", "2")], -3.0),
                plain("d", &[], f64::INFINITY),
            ]
        );
    }

    #[test]
    fn open_metrics() {
        let page = "# TYPE d histogram\n# UNIT d seconds\n\
                    d_bucket{le=\"0.5\"} 3 # {trace_id=\"ab\",span_id=\"c\"} 0.43 1700000000.123\n\
                    d_bucket{le=\"+Inf\"} 4 1700000000.5\n# EOF\n";
        assert_eq!(
            read(page).unwrap(),
            [
                plain("d_bucket", &[("le", "0.5")], 3.0),
                plain("d_bucket", &[("le", "+Inf")], 4.0),
            ]
        );
    }

    #[test]
    fn values_of_labels() {
        let page = "a{x=\"q\\\"b\\\\n\\nß # {\",y=\"\"} 1\n";
        let samples = read(page).unwrap();
        assert_eq!(samples[0].label("x"), Some("q\"b\\n\nß # {"));
        assert_eq!(samples[0].label("y"), None);
        assert_eq!(samples[0].label("z"), None);
    }

    #[test]
    fn hostile_pages() {
        for (page, line, reason) in [
            ("a 1", 1, "the page is cut: its last line has no end"),
            (
                "a 1\nb{x=\"",
                2,
                "the page is cut: its last line has no end",
            ),
            ("a 1\n# EOF\na 2\n", 3, "something follows `# EOF`"),
            ("1a 1\n", 1, "the metric has no valid name"),
            (" a 1\n", 1, "the metric has no valid name"),
            ("<html>\n", 1, "the metric has no valid name"),
            ("a\n", 1, "there is no space before the value"),
            ("a-b 1\n", 1, "there is no space before the value"),
            ("a \n", 1, "the value is not a number"),
            ("a infinity\n", 1, "the value is not a number"),
            ("a nan\n", 1, "the value is not a number"),
            ("a 0x1\n", 1, "the value is not a number"),
            ("a 1_000\n", 1, "the value is not a number"),
            ("a 1 x\n", 1, "the timestamp is not a number"),
            ("a 1 2 3\n", 1, "something follows the value"),
            ("a{x=1} 1\n", 1, "a label's value is not in quotes"),
            ("a{x} 1\n", 1, "a label has no `=`"),
            ("a{x=\"1} 1\n", 1, "a label's value has no closing quote"),
            (
                "a{x=\"\\t\"} 1\n",
                1,
                "a label's value has an unknown escape",
            ),
            ("a{x=\"\\\n", 1, "a label's value has an unknown escape"),
            (
                "a{x=\"1\"y=\"2\"} 1\n",
                1,
                "labels are not separated by a comma",
            ),
            ("a{x=\"1\",x=\"2\"} 1\n", 1, "a label is there twice"),
            ("a{x:y=\"1\"} 1\n", 1, "a label has no `=`"),
            ("a{,} 1\n", 1, "a label has no valid name"),
            ("a 1 # x\n", 1, "the exemplar has no labels"),
            (
                "a 1 # {x=\"1\"} y\n",
                1,
                "the exemplar's value is not a number",
            ),
            ("\u{feff}a 1\n", 1, "the metric has no valid name"),
        ] {
            assert_eq!(read(page), Err(LineError { line, reason }), "{page:?}");
        }
    }

    #[test]
    fn after_an_error_nothing_comes() {
        let mut samples = samples("a x\nb 1\n");
        assert!(samples.next().is_some_and(|sample| sample.is_err()));
        assert_eq!(samples.next(), None);
    }

    fn escape(value: &str) -> String {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn any_label_value_comes_back(value: String, number in -1e300..1e300) {
            let page = format!("a{{x=\"{}\",y=\"z\"}} {number:e}\n", escape(&value));
            let samples = read(&page).unwrap();
            prop_assert_eq!(samples.len(), 1);
            prop_assert_eq!(samples[0].labels[0].1.as_ref(), value.as_str());
            prop_assert_eq!(samples[0].value, number);
        }

        #[test]
        fn any_page_ends(page in "[ -~\n]{0,200}") {
            let count = samples(&page).count();
            prop_assert!(count <= page.lines().count());
        }

        #[test]
        fn any_pieces(pieces in proptest::collection::vec(
            proptest::sample::select(vec!["a", "{", "}", "=", "\"", "\\", "\n", ",", " ", "1", "#", "# EOF\n", "é"]),
            0..60,
        )) {
            let _ = samples(&pieces.concat()).count();
        }
    }
}
