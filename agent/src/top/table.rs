//! The table as lines of text that fit the terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::quantile::Quantile;
use super::snapshot::{Role, ServiceKey};
use super::summary::{Row, Summary};

/// Columns after the service's name: heading, width, and how much it is worth when the terminal is
/// narrow (the lowest goes first).
const COLUMNS: [(&str, usize, u8); 7] = [
    ("ROLE", 6, 7),
    ("REQ/S", 7, 8),
    ("ERRORS", 6, 6),
    ("P50", 7, 3),
    ("P95", 7, 4),
    ("P99", 7, 5),
    ("ACTIVE", 6, 2),
];

/// Space between columns.
const GAP: usize = 2;

/// The narrowest column of names that is worth its place.
const NAME: usize = 8;

/// The lines of the table, none wider than `width` columns.
pub(super) fn render(summary: &Summary, target: &str, width: usize) -> Vec<String> {
    let names: Vec<String> = summary.rows.iter().map(|row| name(&row.service)).collect();
    let wanted = names
        .iter()
        .map(|name| name.width())
        .max()
        .unwrap_or(0)
        .max("SERVICE".len());
    let columns = fitting_columns(width, wanted.clamp(NAME, 24));
    let taken: usize = columns.iter().map(|index| COLUMNS[*index].1 + GAP).sum();
    let name_width = wanted.min(width.saturating_sub(taken)).max(1);

    let line = |name: &str, cells: [&str; 7]| {
        let mut line = pad_right(&fit(name, name_width), name_width);
        for index in &columns {
            let (_, column, _) = COLUMNS[*index];
            line.push_str(&" ".repeat(GAP));
            if *index == 0 {
                line.push_str(&pad_right(cells[*index], column));
            } else {
                line.push_str(&pad_left(cells[*index], column));
            }
        }
        fit(line.trim_end(), width)
    };

    let mut lines = vec![
        fit(&heading(summary, target), width),
        String::new(),
        line("SERVICE", COLUMNS.map(|(heading, _, _)| heading)),
    ];
    for (row, name) in summary.rows.iter().zip(&names) {
        let cells = cells(row);
        lines.push(line(name, cells.each_ref().map(String::as_str)));
    }
    if summary.rows.is_empty() {
        lines.push(fit("no HTTP request heard yet", width));
    }
    lines.push(String::new());
    lines.push(fit(&losses(summary), width));
    lines
}

/// The columns that fit beside a name of this width, in their order.
fn fitting_columns(width: usize, name: usize) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..COLUMNS.len()).collect();
    let needed = |columns: &[usize]| {
        name + columns
            .iter()
            .map(|index| COLUMNS[*index].1 + GAP)
            .sum::<usize>()
    };
    while needed(&columns) > width {
        let Some(least) = (0..columns.len()).min_by_key(|index| COLUMNS[columns[*index]].2) else {
            break;
        };
        columns.remove(least);
    }
    columns
}

fn heading(summary: &Summary, target: &str) -> String {
    let services = match summary.rows.len() {
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    };
    match summary.window {
        Some(window) => format!(
            "hark top  {target}  {services}  last {} s",
            trimmed(window.as_secs_f64(), 1)
        ),
        None => format!("hark top  {target}  {services}  waiting for the second reading"),
    }
}

/// One line: what hark lost since it began, and within the window in brackets.
fn losses(summary: &Summary) -> String {
    if summary.losses.is_empty() {
        return "lost: the agent does not say".into();
    }
    let lost: Vec<String> = summary
        .losses
        .iter()
        .filter(|(_, count, _)| *count > 0.0)
        .map(|(name, count, added)| {
            let name = clean(name);
            if *added > 0.0 {
                format!("{name} {count:.0} (+{added:.0})")
            } else {
                format!("{name} {count:.0}")
            }
        })
        .collect();
    if lost.is_empty() {
        "lost: nothing".into()
    } else {
        format!("lost: {}", lost.join(", "))
    }
}

fn name(service: &ServiceKey) -> String {
    if service.namespace.is_empty() {
        clean(&service.name)
    } else {
        clean(&format!("{}/{}", service.namespace, service.name))
    }
}

/// A name comes from any process on the host. Control characters would drive the terminal, and
/// direction marks would reorder the line.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                char::REPLACEMENT_CHARACTER
            }
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

fn cells(row: &Row) -> [String; 7] {
    [
        match row.service.role {
            Role::Server => "server".into(),
            Role::Client => "client".into(),
        },
        row.rate.map_or_else(dash, rate),
        row.errors.map_or_else(dash, share),
        duration_cell(row.p50),
        duration_cell(row.p95),
        duration_cell(row.p99),
        row.active
            .map_or_else(dash, |active| format!("{active:.0}")),
    ]
}

fn dash() -> String {
    "-".into()
}

fn rate(rate: f64) -> String {
    if rate == 0.0 {
        "0".into()
    } else if rate < 10.0 {
        format!("{rate:.2}")
    } else if rate < 1_000.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// A share as per cent; what is not quite nothing, or not quite all, is not rounded to it.
fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0%".into()
    } else if percent < 0.1 {
        "<0.1%".into()
    } else if percent > 99.9 && percent < 100.0 {
        ">99.9%".into()
    } else {
        format!("{}%", trimmed(percent, 1))
    }
}

fn duration_cell(quantile: Quantile) -> String {
    match quantile {
        Quantile::Nothing => dash(),
        Quantile::Below(bound) => format!("<{}", bound_text(bound)),
        Quantile::About(seconds) => seconds_text(seconds),
        Quantile::Above(bound) => format!(">{}", bound_text(bound)),
    }
}

/// Seconds with three significant digits, in the unit that people would use.
fn seconds_text(seconds: f64) -> String {
    let (value, unit) = if seconds < 0.9995 {
        (seconds * 1e3, "ms")
    } else {
        (seconds, "s")
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

/// A bound of a bucket: exact, without zeros at the end.
fn bound_text(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{}ms", trimmed(seconds * 1e3, 3))
    } else {
        format!("{}s", trimmed(seconds, 3))
    }
}

/// A number with at most so many decimals, none of them a useless zero.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Cuts text to `width` columns, and shows that by an ellipsis.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let own = c.width().unwrap_or(0);
        if taken + own + 1 > width {
            break;
        }
        cut.push(c);
        taken += own;
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

fn pad_right(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn pad_left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn row(name: &str, namespace: &str, role: Role) -> Row {
        Row {
            service: ServiceKey {
                name: name.into(),
                namespace: namespace.into(),
                role,
            },
            rate: Some(123.44),
            errors: Some(0.012),
            p50: Quantile::Below(0.0005),
            p95: Quantile::About(0.012_34),
            p99: Quantile::Above(10.0),
            active: Some(2.0),
        }
    }

    fn summary() -> Summary {
        Summary {
            rows: vec![
                row("checkout", "", Role::Server),
                Row {
                    rate: Some(0.0),
                    errors: None,
                    p50: Quantile::Nothing,
                    p95: Quantile::Nothing,
                    p99: Quantile::Nothing,
                    active: None,
                    ..row("カタログ", "店", Role::Client)
                },
            ],
            window: Some(Duration::from_millis(10_004)),
            losses: vec![
                ("exchanges lost (ring_full)".into(), 12.0, 3.0),
                ("records lost".into(), 0.0, 0.0),
                ("spans dropped (queue_full)".into(), 5.0, 0.0),
            ],
        }
    }

    #[test]
    fn a_table() {
        assert_eq!(
            render(&summary(), "http://127.0.0.1:9465/metrics", usize::MAX).join("\n"),
            "\
hark top  http://127.0.0.1:9465/metrics  2 services  last 10 s

SERVICE      ROLE      REQ/S  ERRORS      P50      P95      P99  ACTIVE
checkout     server    123.4    1.2%   <0.5ms   12.3ms     >10s       2
店/カタログ  client        0       -        -        -        -       -

lost: exchanges lost (ring_full) 12 (+3), spans dropped (queue_full) 5"
        );
    }

    #[test]
    fn a_narrow_table_drops_columns_then_letters() {
        let lines = |width| render(&summary(), "http://h/metrics", width);
        assert_eq!(lines(40)[2], "SERVICE      ROLE      REQ/S  ERRORS");
        assert_eq!(lines(40)[4], "店/カタログ  client        0       -");
        assert_eq!(lines(20)[2], "SERVICE        REQ/S");
        assert_eq!(lines(20)[4], "店/カタログ        0");
        assert_eq!(lines(10)[3], "checkout");
        assert_eq!(lines(5)[3], "chec…");
        assert_eq!(lines(1)[3], "…");
        assert_eq!(lines(0)[3], "");
    }

    #[test]
    fn no_service_and_no_second_reading() {
        let summary = Summary {
            rows: Vec::new(),
            window: None,
            losses: vec![("records lost".into(), 0.0, 0.0)],
        };
        assert_eq!(
            render(&summary, "http://h/metrics", 80).join("\n"),
            "hark top  http://h/metrics  0 services  waiting for the second reading\n\n\
             SERVICE  ROLE      REQ/S  ERRORS      P50      P95      P99  ACTIVE\n\
             no HTTP request heard yet\n\nlost: nothing"
        );
        let silent = Summary {
            losses: Vec::new(),
            ..summary
        };
        assert_eq!(
            render(&silent, "x", 80).pop().unwrap(),
            "lost: the agent does not say"
        );
    }

    #[test]
    fn numbers() {
        for (seconds, text) in [
            (0.000_71, "0.71ms"),
            (0.009_99, "9.99ms"),
            (0.009_996, "10.0ms"),
            (0.099_96, "100ms"),
            (0.25, "250ms"),
            (0.9996, "1.00s"),
            (1.25, "1.25s"),
        ] {
            assert_eq!(seconds_text(seconds), text);
        }
        for (bound, text) in [
            (0.0005, "0.5ms"),
            (0.0025, "2.5ms"),
            (0.75, "750ms"),
            (7.5, "7.5s"),
            (10.0, "10s"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
        for (value, text) in [
            (0.0, "0%"),
            (0.0001, "<0.1%"),
            (0.5, "50%"),
            (0.9999, ">99.9%"),
            (1.0, "100%"),
        ] {
            assert_eq!(share(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (12.34, "12.3"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn a_hostile_name_cannot_drive_the_terminal() {
        let mut summary = summary();
        summary.rows[0].service.name = "a\x1b[2J\r\nb\u{202e}c\u{9b}".into();
        let lines = render(&summary, "x", 80);
        assert!(lines[3].starts_with("a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}"));
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(name: String, namespace: String, width in 0usize..200) {
            let mut summary = summary();
            summary.rows.push(row(&name, &namespace, Role::Server));
            for line in render(&summary, "http://127.0.0.1:9465/metrics", width) {
                prop_assert!(line.width() <= width, "{:?} is {} wide", line, line.width());
            }
        }
    }
}
