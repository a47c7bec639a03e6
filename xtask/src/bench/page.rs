//! A page over HTTP/1.0 from the loopback interface, and sums of the samples on it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest page that is read, bytes.
const LIMIT: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of an answer with status 200; any other answer is an error.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let fetch = || -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // HTTP/1.0: the body ends with the connection and is never chunked.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LIMIT).read_to_end(&mut answer)?;
        body(&String::from_utf8(answer)?)
    };
    fetch().with_context(|| format!("cannot get http://{address}{path}"))
}

fn body(answer: &str) -> Result<String> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer has no head");
    };
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => bail!("the answer is `{line}`"),
    }
}

/// `/metrics` of the agent, in the text format 0.0.4.
#[derive(Debug)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn get(address: SocketAddr) -> Result<Self> {
        get(address, "/metrics").map(Self)
    }

    /// Sum of the samples of one name; with a label `(name, value)`, of those that carry it.
    ///
    /// # Errors
    ///
    /// A sample that is no number. That there is none is no error: a family without series is 0.
    pub(super) fn sum(&self, name: &str, label: Option<(&str, &str)>) -> Result<f64> {
        let label = label.map(|(name, value)| format!("{name}=\"{value}\""));
        let mut sum = 0.0;
        for line in self.0.lines() {
            let Some(rest) = line.strip_prefix(name) else {
                continue;
            };
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest
                    .rsplit_once("} ")
                    .with_context(|| format!("`{line}` is no sample"))?,
                None if rest.starts_with(' ') => ("", rest),
                // Another name that begins like this one.
                None => continue,
            };
            if label
                .as_deref()
                .is_none_or(|label| labels.split(',').any(|pair| pair == label))
            {
                let value: f64 = value
                    .trim()
                    .parse()
                    .with_context(|| format!("`{line}` has no number"))?;
                sum += value;
            }
        }
        Ok(sum)
    }

    /// The samples of these families that are not 0, as they stand there.
    pub(super) fn nonzero<'a>(&'a self, names: [&'a str; 2]) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter(move |line| {
            names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
        })
    }

    /// How many samples are on it.
    pub(super) fn samples(&self) -> usize {
        let comment = |line: &&str| line.is_empty() || line.starts_with('#');
        self.0.lines().filter(|line| !comment(line)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_summed() {
        let page = Page(
            "# TYPE a_total counter\n\
             a_total{reason=\"x\"} 2\n\
             a_total{reason=\"y\",at=\"} 9\"} 3.5\n\
             a_total_more 100\n\
             b 7\n"
                .into(),
        );
        let sum = |name, label| page.sum(name, label).unwrap();
        assert_eq!(sum("a_total", None), 5.5);
        assert_eq!(sum("a_total", Some(("reason", "x"))), 2.0);
        assert_eq!(sum("a_total", Some(("reason", "z"))), 0.0);
        assert_eq!(sum("b", None), 7.0);
        assert_eq!(sum("c", None), 0.0);
        assert_eq!(page.samples(), 4);
    }

    #[test]
    fn samples_that_are_not_zero_are_shown_as_they_are() {
        let page = Page("# HELP a a\na{b=\"c\"} 0\na{b=\"d\"} 10\nb 3\nc 1\n".into());
        let shown: Vec<_> = page.nonzero(["a", "b"]).collect();
        assert_eq!(shown, ["a{b=\"d\"} 10", "b 3"]);
    }

    #[test]
    fn what_is_no_sample_is_an_error() {
        let sum = |text: &str| Page(text.into()).sum("a", None).map_err(|e| e.to_string());
        assert_eq!(sum("a x").unwrap_err(), "`a x` has no number");
        assert_eq!(sum("a{b=\"c\"").unwrap_err(), "`a{b=\"c\"` is no sample");
    }

    #[test]
    fn only_a_whole_answer_with_status_200_has_a_body() {
        let of = |answer| body(answer).map_err(|e| e.to_string());
        assert_eq!(
            of("HTTP/1.0 200 OK\r\nA: b\r\n\r\nx\r\n\r\ny").unwrap(),
            "x\r\n\r\ny"
        );
        assert_eq!(
            of("HTTP/1.0 503 Later\r\n\r\nx").unwrap_err(),
            "the answer is `HTTP/1.0 503 Later`"
        );
        assert_eq!(
            of("HTTP/1.0 200 OK\r\n").unwrap_err(),
            "the answer has no head"
        );
        assert_eq!(of("").unwrap_err(), "the answer has no head");
    }
}
