//! A strict reader of pages, for tests: it knows the grammar of both formats and panics at
//! whatever is not in it.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Telemetry;
use super::page::Format;

/// A sample: name, labels, value as written.
pub(crate) type Samples = BTreeMap<(String, BTreeMap<String, String>), String>;

/// The whole page as text.
pub(crate) fn page(telemetry: &Telemetry, format: Format) -> String {
    let mut page = Vec::new();
    telemetry.write(format, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// Reads a page: every sample under the TYPE of its family, families once and in one piece, no
/// sample twice, buckets cumulative and equal to the count.
pub(crate) fn parse(page: &str, format: Format) -> Samples {
    let body = match format {
        Format::OpenMetrics => page.strip_suffix("# EOF\n").expect("no end mark"),
        Format::Text => page,
    };
    assert!(body.ends_with('\n'));
    let mut samples = Samples::new();
    let mut families = HashSet::new();
    let mut family = (String::new(), String::new());
    for line in body.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "family twice: {name}");
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            family = (name.to_owned(), String::new());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(family, (name.to_owned(), String::new()), "{line}");
            family.1 = kind.to_owned();
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            assert_eq!(format, Format::OpenMetrics);
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")) && name == family.0);
        } else {
            let (name, labels, value, exemplar) = sample(line);
            if let Some(exemplar) = exemplar {
                assert_eq!(format, Format::OpenMetrics, "{line}");
                assert!(name.ends_with("_bucket"), "{line}");
                check_exemplar(exemplar, &labels["le"]);
            }
            let suffixes: &[&str] = match (family.1.as_str(), format) {
                ("counter", Format::OpenMetrics) => &["_total"],
                ("counter", Format::Text) => {
                    assert!(name.ends_with("_total"), "{line}");
                    &[""]
                }
                ("info", Format::OpenMetrics) => &["_info"],
                ("gauge", _) => &[""],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                (other, _) => panic!("type {other}"),
            };
            let suffix = name.strip_prefix(&family.0).expect(line);
            assert!(suffixes.contains(&suffix), "{line} in {family:?}");
            assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
            value.parse::<f64>().unwrap();
            let before = samples.insert((name, labels), value);
            assert_eq!(before, None, "sample twice: {line}");
        }
    }
    check_histograms(&samples);
    samples
}

/// An exemplar of the bucket up to `le` lies in it, has a time, and is short enough.
fn check_exemplar(exemplar: &str, le: &str) {
    let (own, time) = exemplar.rsplit_once(' ').expect(exemplar);
    let (_, own, value, None) = sample(&format!("x{own}")) else {
        panic!("an exemplar of an exemplar: {exemplar}");
    };
    let length: usize = own
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(length <= 128, "{exemplar}");
    let number = |text: &str| text.parse::<f64>().expect(exemplar);
    assert!(number(&value) <= number(le), "{exemplar} below {le}");
    assert!(number(time) > 0.0, "{exemplar}");
}

fn check_histograms(samples: &Samples) {
    let mut buckets: BTreeMap<_, Vec<(f64, u64)>> = BTreeMap::new();
    for ((name, labels), value) in samples {
        if let Some(base) = name.strip_suffix("_bucket") {
            let mut labels = labels.clone();
            let le = labels.remove("le").unwrap().parse().unwrap();
            let histogram = buckets.entry((base.to_owned(), labels)).or_default();
            histogram.push((le, value.parse().unwrap()));
        }
    }
    for ((base, labels), mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{base}");
        let (le, last) = buckets[buckets.len() - 1];
        assert!(le.is_infinite(), "{base}");
        let count = &samples[&(format!("{base}_count"), labels.clone())];
        assert_eq!(last.to_string(), *count, "{base}");
        assert!(samples.contains_key(&(format!("{base}_sum"), labels)));
    }
}

/// Name, labels, value, and exemplar of a line.
fn sample(line: &str) -> (String, BTreeMap<String, String>, String, Option<&str>) {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|char: char| char.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let end = line.find(['{', ' ']).unwrap();
    let name = &line[..end];
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect(line) {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next().expect(line).1 {
                        'n' => '\n',
                        char @ ('\\' | '"') => char,
                        other => panic!("escape {other} in {line}"),
                    }),
                    (_, char) => value.push(char),
                }
            };
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line}");
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    let value = rest.strip_prefix(' ').expect(line);
    let (value, exemplar) = match value.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar)),
        None => (value, None),
    };
    assert!(!value.contains(' '), "timestamp: {line}");
    (name.to_owned(), labels, value.to_owned(), exemplar)
}

/// Asks `promtool` what it thinks of a page in text 0.0.4, or says that it is not there.
pub(crate) fn promtool_is_content(test: &str, page: &str) {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match spawned {
        Ok(promtool) => promtool,
        Err(error) => {
            println!("SKIPPED {test}: promtool cannot be run: {error}");
            return;
        }
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success(), "{}", output.status);
}
