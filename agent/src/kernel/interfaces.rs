//! The host's own addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Addresses of all interfaces in this network namespace, by `getifaddrs`.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is valid for writes.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut entry = list;
    // SAFETY: entries and what they point to stay valid until `freeifaddrs`; an address has the
    // type that its family names.
    unsafe {
        while let Some(interface) = entry.as_ref() {
            if let Some(address) = interface.ifa_addr.as_ref() {
                match i32::from(address.sa_family) {
                    libc::AF_INET => {
                        let v4 = interface
                            .ifa_addr
                            .cast::<libc::sockaddr_in>()
                            .read_unaligned();
                        found.push(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))));
                    }
                    libc::AF_INET6 => {
                        let v6 = interface
                            .ifa_addr
                            .cast::<libc::sockaddr_in6>()
                            .read_unaligned();
                        found.push(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)));
                    }
                    _ => {}
                }
            }
            entry = interface.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        let expected = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(
            addresses()
                .unwrap()
                .iter()
                .filter(|a| **a == expected)
                .count(),
            1
        );
    }
}
