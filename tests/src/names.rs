//! Names and ports that no two tests share.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A service name for one process of one test: readable, and unique on the host.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{number}", std::process::id())
}

/// Ports below those that Linux gives to connections (`ip_local_port_range`).
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// A loopback address whose port was free a moment ago, and is given to no connection: whoever listens
/// there can go and come back.
///
/// For programs that cannot be given port 0; they may lose the race for it, so whoever starts one
/// must notice that it did not start.
///
/// # Panics
/// If none is free.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = PORTS.end - PORTS.start;
    // Test binaries run at the same time: each begins elsewhere.
    let own = std::process::id().wrapping_mul(101);
    (0..span)
        .map(|_| own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span)
        .filter_map(|at| u16::try_from(PORTS.start + at).ok())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("the loopback interface has a free port")
}
