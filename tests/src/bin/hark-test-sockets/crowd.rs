//! Clients in great number, or of great persistence.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: crowd\r\n\r\n";

/// Opens so many connections, asks once on each, and only then reads the answers.
pub(crate) fn crowd(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    more_files(count as u64 + 100)?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(REQUEST)?;
        streams.push(stream);
    }
    for stream in &mut streams {
        read_ok(stream)?;
    }
    println!("ASKED {count}");
    // They stay open until this process is ended.
    loop {
        std::thread::park();
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(REQUEST)?;
    read_ok(&mut stream)
}

/// So many processes one after the other, each of which asks once and ends.
pub(crate) fn forks(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    for _ in 0..count {
        let status = std::process::Command::new(&program)
            .args(["ask", &address.to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "a child failed: {status}");
    }
    println!("ASKED {count}");
    Ok(())
}

/// A request whose head has so many bytes and no end.
pub(crate) fn endless_head(address: SocketAddr, size: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /endless HTTP/1.1\r\nX-Endless: ")?;
    let piece = [b'e'; 64 << 10];
    let mut left = size;
    while left > 0 {
        let now = left.min(piece.len());
        stream.write_all(&piece[..now])?;
        left -= now;
    }
    println!("ASKED 1");
    Ok(())
}

/// Reads until the status line is known to say 200.
fn read_ok(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    anyhow::ensure!(
        &line == b"HTTP/1.1 200",
        "answered {}",
        String::from_utf8_lossy(&line)
    );
    // What is left unread would turn the close into a reset.
    let mut rest = Vec::new();
    while !rest.ends_with(b"ok\n") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece)?;
        anyhow::ensure!(read > 0, "the answer ended early on {}", stream.as_raw_fd());
        rest.extend_from_slice(&piece[..read]);
    }
    Ok(())
}

fn more_files(count: u64) -> anyhow::Result<()> {
    let limit = rustix::process::Rlimit {
        current: Some(count),
        maximum: Some(count),
    };
    Ok(rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        limit,
    )?)
}
