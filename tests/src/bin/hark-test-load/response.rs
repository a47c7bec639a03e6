//! Reads responses by RFC 9112 §6: what the client counts is what the agent must have seen.

use std::io::ErrorKind;

use crate::connection::{Connection, Failure};

/// A response as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Response {
    /// The final status, if its head arrived whole.
    pub(crate) status: Option<u16>,
    /// Body bytes after chunk decoding.
    pub(crate) body: u64,
    /// Why it is not whole.
    pub(crate) failure: Option<Failure>,
    /// Whether the connection can carry another exchange.
    pub(crate) reusable: bool,
}

struct Head {
    status: u16,
    chunked: bool,
    length: Option<u64>,
    close: bool,
}

/// Reads the final response to a request with this method.
pub(crate) fn read(connection: &mut Connection, method: &str) -> Response {
    let mut response = Response::default();
    if let Err(failure) = read_into(connection, method, &mut response) {
        response.failure = Some(failure);
        response.reusable = false;
    }
    response
}

/// Reads an interim response, which must be `100 Continue`.
pub(crate) fn read_continue(connection: &mut Connection) -> std::io::Result<()> {
    match head(connection) {
        Ok(Head { status: 100, .. }) => Ok(()),
        Ok(head) => Err(std::io::Error::other(format!(
            "{} instead of 100",
            head.status
        ))),
        Err(failure) => Err(std::io::Error::other(failure.name())),
    }
}

fn read_into(
    connection: &mut Connection,
    method: &str,
    response: &mut Response,
) -> Result<(), Failure> {
    let head = loop {
        let head = head(connection)?;
        if head.status >= 200 || head.status == 101 {
            break head;
        }
    };
    response.status = Some(head.status);
    response.reusable = !head.close;
    let tunnel = method == "CONNECT" && (200..300).contains(&head.status);
    if head.status == 101 || head.status == 204 || head.status == 304 || method == "HEAD" || tunnel
    {
        return Ok(());
    }
    if head.chunked {
        return chunks(connection, &mut response.body);
    }
    match head.length {
        Some(length) => take(connection, length, &mut response.body),
        None => {
            response.reusable = false;
            until_close(connection, &mut response.body)
        }
    }
}

fn head(connection: &mut Connection) -> Result<Head, Failure> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        let status = parsed
            .parse(&connection.buffer)
            .map_err(|_| Failure::Broken)?;
        if let httparse::Status::Complete(size) = status {
            let value = |name: &str| {
                parsed
                    .headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case(name))
                    .and_then(|header| std::str::from_utf8(header.value).ok())
                    .map(str::to_ascii_lowercase)
            };
            let persistent = match (parsed.version, value("connection").as_deref()) {
                (_, Some("close")) => false,
                (Some(0), other) => other == Some("keep-alive"),
                _ => true,
            };
            let head = Head {
                status: parsed.code.ok_or(Failure::Broken)?,
                chunked: value("transfer-encoding").is_some_and(|value| value == "chunked"),
                length: match value("content-length") {
                    Some(value) => Some(value.parse().map_err(|_| Failure::Broken)?),
                    None => None,
                },
                close: !persistent,
            };
            connection.buffer.drain(..size);
            return Ok(head);
        }
        more(connection)?;
    }
}

fn chunks(connection: &mut Connection, body: &mut u64) -> Result<(), Failure> {
    loop {
        match httparse::parse_chunk_size(&connection.buffer).map_err(|_| Failure::Broken)? {
            httparse::Status::Partial => more(connection)?,
            httparse::Status::Complete((line, 0)) => {
                connection.buffer.drain(..line);
                break;
            }
            httparse::Status::Complete((line, size)) => {
                connection.buffer.drain(..line);
                take(connection, size, body)?;
                take(connection, 2, &mut 0)?;
            }
        }
    }
    // Trailer lines, up to the empty one.
    loop {
        match connection
            .buffer
            .windows(2)
            .position(|pair| pair == b"\r\n")
        {
            Some(end) => {
                connection.buffer.drain(..end + 2);
                if end == 0 {
                    return Ok(());
                }
            }
            None => more(connection)?,
        }
    }
}

fn take(connection: &mut Connection, length: u64, body: &mut u64) -> Result<(), Failure> {
    let mut left = length;
    while left > 0 {
        if connection.buffer.is_empty() {
            more(connection)?;
        }
        let here = connection
            .buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        connection.buffer.drain(..here);
        left -= here as u64;
        *body += here as u64;
    }
    Ok(())
}

fn until_close(connection: &mut Connection, body: &mut u64) -> Result<(), Failure> {
    loop {
        *body += connection.buffer.len() as u64;
        connection.buffer.clear();
        match more(connection) {
            Ok(()) => {}
            Err(Failure::Closed) => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
}

fn more(connection: &mut Connection) -> Result<(), Failure> {
    match connection.fill() {
        Ok(0) => Err(Failure::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Failure::Reset,
            _ => Failure::Broken,
        }),
    }
}
