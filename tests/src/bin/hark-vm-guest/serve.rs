//! A server of HTTP/1.1 that says on its stdout what it has served, a line each: `SERVED GET 200`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use anyhow::Context;

/// Serves on an address of TCP, with any port (0), or on the path of a unix socket; prints
/// `PORT <number>` when it listens, 0 for a unix socket.
pub(crate) fn serve(at: &str) -> anyhow::Result<()> {
    if at.starts_with('/') {
        let listener = UnixListener::bind(at).context(at.to_owned())?;
        println!("PORT 0");
        listener
            .incoming()
            .try_for_each(|stream| on_thread(stream?))
    } else {
        let listener = TcpListener::bind(at).context(at.to_owned())?;
        println!("PORT {}", listener.local_addr()?.port());
        listener
            .incoming()
            .try_for_each(|stream| on_thread(stream?))
    }
}

fn on_thread(stream: impl Read + Write + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new().spawn(move || {
        if let Err(error) = connection(stream) {
            eprintln!("a connection ended badly: {error:#}");
        }
    })?;
    Ok(())
}

/// Answers until the client closes.
fn connection(mut stream: impl Read + Write) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        while let Some((method, path, size)) = request(&buffer)? {
            buffer.drain(..size);
            let status = match path.strip_prefix("/status/") {
                Some(status) => status.parse()?,
                None => 200,
            };
            let body = if method == "HEAD" { "" } else { "hello" };
            write!(
                stream,
                "HTTP/1.1 {status} Whatever\r\nContent-Length: 5\r\n\r\n{body}"
            )?;
            println!("SERVED {method} {status}");
        }
        match stream.read(&mut piece)? {
            0 if buffer.is_empty() => return Ok(()),
            0 => anyhow::bail!("half a request"),
            size => buffer.extend_from_slice(&piece[..size]),
        }
    }
}

/// The first request in the buffer, if it is there whole: method, path, size with its body.
fn request(buffer: &[u8]) -> anyhow::Result<Option<(String, String, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buffer)? else {
        return Ok(None);
    };
    let mut body = 0;
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(header.value)?.parse()?;
        }
    }
    if buffer.len() < head + body {
        return Ok(None);
    }
    let method = request.method.unwrap_or_default().to_owned();
    let path = request.path.unwrap_or_default().to_owned();
    Ok(Some((method, path, head + body)))
}
