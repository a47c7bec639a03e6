//! Text format 0.0.4 from OpenMetrics 1.0.0.
//!
//! prometheus-client writes OpenMetrics only, and a target must be able to serve 0.0.4. The
//! formats differ in the names of families (OpenMetrics leaves out the suffix that the samples of
//! counters and infos carry), in types that 0.0.4 lacks, and in units, exemplars and the end mark,
//! which 0.0.4 has not.

/// Rewrites a page that prometheus-client wrote.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    // HELP comes before TYPE and is written once the type, and so the name, is known.
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').or(Some((rest, "")));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "gauge" | "histogram" | "summary" => ("", kind),
                "stateset" => ("", "gauge"),
                // `unknown`, and `gaugehistogram`, whose `_gcount` and `_gsum` no type has.
                _ => ("", "untyped"),
            };
            if let Some((of, help)) = help.take()
                && of == name
            {
                push(&mut text, &["# HELP ", name, suffix, " ", help, "\n"]);
            }
            push(&mut text, &["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            push(&mut text, &[without_exemplar(line), "\n"]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
}

/// A sample up to its exemplar, which begins with ` # ` outside the quotation marks.
fn without_exemplar(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}
