//! The table as lines of text that fit the terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::host::Host;
use super::quantile::Quantile;
use super::snapshot::{Role, ServiceKey};
use super::summary::{Row, Summary};
use super::text::{bound_text, bytes, clean, rate, seconds_text, share, trimmed};

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

    let mut lines = vec![fit(&heading(summary, target), width)];
    if let Some(host) = host(&summary.host) {
        lines.push(fit(&host, width));
    }
    lines.extend([
        String::new(),
        line("SERVICE", COLUMNS.map(|(heading, _, _)| heading)),
    ]);
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

/// One line: the host's resources, as far as the agent says something of them.
fn host(host: &Host) -> Option<String> {
    let parts = [
        host.cpu.map(|busy| format!("cpu {}", share(busy))),
        host.run_queue
            .map(|p99| format!("run queue p99 {}", duration_cell(p99))),
        host.memory
            .map(|(used, size)| format!("memory {} of {}", bytes(used), bytes(size))),
        host.disk
            .as_ref()
            .map(|(disk, busy)| format!("disk {} {}", clean(disk), share(*busy))),
        host.retransmits
            .map(|count| format!("retransmits {count:.0}")),
        host.overflows
            .map(|count| format!("accept overflows {count:.0}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("host  {}", parts.join("  ")))
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

fn duration_cell(quantile: Quantile) -> String {
    match quantile {
        Quantile::Nothing => dash(),
        Quantile::Below(bound) => format!("<{}", bound_text(bound)),
        Quantile::About(seconds) => seconds_text(seconds),
        Quantile::Above(bound) => format!(">{}", bound_text(bound)),
    }
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
            host: Host {
                cpu: Some(0.314),
                run_queue: Some(Quantile::About(0.000_26)),
                memory: Some((6.24e9, 8.0 * 1024.0 * 1024.0 * 1024.0)),
                disk: Some(("vda".into(), 0.05)),
                retransmits: Some(12.0),
                overflows: Some(0.0),
            },
        }
    }

    #[test]
    fn a_table() {
        assert_eq!(
            render(&summary(), "http://127.0.0.1:9465/metrics", usize::MAX).join("\n"),
            "\
hark top  http://127.0.0.1:9465/metrics  2 services  last 10 s
host  cpu 31.4%  run queue p99 0.26ms  memory 5.8 GiB of 8 GiB  disk vda 5%  retransmits 12  accept overflows 0

SERVICE      ROLE      REQ/S  ERRORS      P50      P95      P99  ACTIVE
checkout     server    123.4    1.2%   <0.5ms   12.3ms     >10s       2
店/カタログ  client        0       -        -        -        -       -

lost: exchanges lost (ring_full) 12 (+3), spans dropped (queue_full) 5"
        );
    }

    #[test]
    fn a_narrow_table_drops_columns_then_letters() {
        let lines = |width| render(&summary(), "http://h/metrics", width);
        assert_eq!(lines(40)[3], "SERVICE      ROLE      REQ/S  ERRORS");
        assert_eq!(lines(40)[5], "店/カタログ  client        0       -");
        assert_eq!(lines(20)[3], "SERVICE        REQ/S");
        assert_eq!(lines(20)[5], "店/カタログ        0");
        assert_eq!(lines(10)[4], "checkout");
        assert_eq!(lines(5)[4], "chec…");
        assert_eq!(lines(1)[4], "…");
        assert_eq!(lines(0)[4], "");
    }

    #[test]
    fn no_service_and_no_second_reading() {
        let summary = Summary {
            rows: Vec::new(),
            window: None,
            losses: vec![("records lost".into(), 0.0, 0.0)],
            host: Host::default(),
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
    fn a_hostile_name_cannot_drive_the_terminal() {
        let mut summary = summary();
        summary.host.disk = Some(("v\x1b[2Jda".into(), 0.5));
        summary.rows[0].service.name = "a\x1b[2J\r\nb\u{202e}c\u{9b}".into();
        let lines = render(&summary, "x", 80);
        assert!(lines[4].starts_with("a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}"));
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
