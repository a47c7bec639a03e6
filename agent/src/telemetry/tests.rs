use std::collections::BTreeMap;

use proptest::prelude::*;

use super::page::{Family, Kind, push_label};
use super::testing::{page, parse, promtool_is_content};
use super::*;

#[test]
fn the_agent_itself_is_on_the_page_in_both_formats() {
    let telemetry = Telemetry::new();
    telemetry.count_refused(Refused::Scrape);
    let mut names: Vec<Vec<(String, BTreeMap<String, String>)>> = Vec::new();
    for format in [Format::OpenMetrics, Format::Text] {
        let samples = parse(&page(&telemetry, format), format);
        let limit = |limit: &str| {
            let labels = BTreeMap::from([("limit".to_owned(), limit.to_owned())]);
            samples[&("hark_http_refused_total".to_owned(), labels)].clone()
        };
        assert_eq!(limit("scrapes"), "1");
        assert_eq!(limit("connections"), "0");
        let build = BTreeMap::from([
            ("version".to_owned(), "0.1.0".to_owned()),
            ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
        ]);
        assert_eq!(samples[&("hark_build_info".to_owned(), build)], "1");
        names.push(samples.into_keys().collect());
    }
    assert_eq!(names[0], names[1], "the same series in both formats");
    let plain: Vec<&str> = names[0]
        .iter()
        .filter(|(_, labels)| labels.is_empty())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        plain,
        [
            "hark_scrape_duration_seconds",
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_threads",
            "process_virtual_memory_bytes",
        ]
    );
    promtool_is_content(
        "the_agent_itself_is_on_the_page_in_both_formats",
        &page(&telemetry, Format::Text),
    );
}

#[test]
fn open_metrics_becomes_text() {
    let open_metrics = "\
# HELP a_seconds Counts # {things}.
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{x=\"# {\\\\\",y=\"\\\"# \\n\"} 1 # {trace_id=\"ab\"} 0.5 1520879607.789
# HELP b Builds.
# TYPE b info
b_info{version=\"1\"} 1
# HELP c Current.
# TYPE c gauge
c -3
# TYPE d unknown
d 4
# HELP e Exemplary.
# TYPE e histogram
e_bucket{le=\"1.0\"} 2 # {} 0.7
e_bucket{le=\"+Inf\"} 2
e_sum 1.4
e_count 2
# TYPE f stateset
f{f=\"on\"} 1
# EOF
";
    let text = "\
# HELP a_seconds_total Counts # {things}.
# TYPE a_seconds_total counter
a_seconds_total{x=\"# {\\\\\",y=\"\\\"# \\n\"} 1
# HELP b_info Builds.
# TYPE b_info gauge
b_info{version=\"1\"} 1
# HELP c Current.
# TYPE c gauge
c -3
# TYPE d untyped
d 4
# HELP e Exemplary.
# TYPE e histogram
e_bucket{le=\"1.0\"} 2
e_bucket{le=\"+Inf\"} 2
e_sum 1.4
e_count 2
# TYPE f gauge
f{f=\"on\"} 1
";
    assert_eq!(text::from_open_metrics(open_metrics), text);
}

const THINGS: Family = Family {
    name: "things_bytes",
    help: "Things.",
    unit: Some("bytes"),
    kind: Kind::Histogram,
    source: "a test",
    labels: &[],
};

#[test]
fn a_page_goes_out_in_pieces_and_whole() {
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);
    impl io::Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut pieces = Pieces::default();
    let mut page = Page::new(Format::OpenMetrics, &mut pieces);
    page.family(&THINGS).unwrap();
    let mut expected =
        "# HELP things_bytes Things.\n# TYPE things_bytes histogram\n# UNIT things_bytes bytes\n"
            .to_owned();
    for at in 0..2_000 {
        let labels = format!("at=\"{at}\"");
        page.histogram(&THINGS, &labels, [("1.0", at), ("+Inf", 1)].into_iter(), 7)
            .unwrap();
        expected += &format!(
            "things_bytes_bucket{{at=\"{at}\",le=\"1.0\"}} {at}\nthings_bytes_bucket{{at=\"{at}\",le=\"+Inf\"}} {}\nthings_bytes_sum{{at=\"{at}\"}} 7\nthings_bytes_count{{at=\"{at}\"}} {}\n",
            at + 1,
            at + 1
        );
    }
    page.finish().unwrap();
    expected += "# EOF\n";
    assert_eq!(String::from_utf8(pieces.0.concat()).unwrap(), expected);
    let largest = pieces.0.iter().map(Vec::len).max().unwrap();
    assert!(largest < 80 * 1024, "{largest}");
}

#[test]
fn an_error_of_the_reader_ends_the_page() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Telemetry::new().write(Format::Text, &mut Gone).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn any_label_value_survives(value: String, next in "[\\\\\"\n{},= #é]{0,12}") {
        let mut labels = String::new();
        push_label(&mut labels, "first", &value);
        push_label(&mut labels, "second", &next);
        for format in [Format::OpenMetrics, Format::Text] {
            let mut out = Vec::new();
            let mut page = Page::new(format, &mut out);
            page.family(&THINGS).unwrap();
            page.histogram(&THINGS, &labels, [("1.0", 3), ("+Inf", 4)].into_iter(), 5).unwrap();
            page.finish().unwrap();
            let text = String::from_utf8(out).unwrap();
            let samples = parse(&text, format);
            let labels = BTreeMap::from([
                ("first".to_owned(), value.clone()),
                ("second".to_owned(), next.clone()),
            ]);
            let count = samples.get(&("things_bytes_count".to_owned(), labels));
            prop_assert_eq!(count.map(String::as_str), Some("7"));
        }
    }
}
