//! What a ClientHello says in clear (RFC 8446 §4.1.2): the name of the server that is asked for, and
//! the application protocols that are offered.
//!
//! Only its beginning is captured, so everything may end anywhere: what is not whole is not there.

use std::sync::Arc;

use lru::LruCache;

/// What is kept of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hello {
    /// The server's name (SNI, RFC 6066 §3), if it is one that a host can have.
    pub server_name: Option<Box<str>>,
    /// The protocols that are offered (ALPN, RFC 7301), with commas between, if they are printable.
    pub protocols: Option<Box<str>>,
}

/// Longest name that is kept (RFC 1035 §2.3.4), in bytes.
const NAME_LIMIT: usize = 253;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// The only type of name there is.
const HOST_NAME: u8 = 0;

/// What was heard of connections, by the socket's cookie; the longest unused makes room.
#[derive(Debug)]
pub struct Hellos(LruCache<u64, Arc<Hello>>);

/// Connections whose ClientHello is kept.
const HELLO_LIMIT: usize = 16384;

impl Default for Hellos {
    fn default() -> Self {
        Self(LruCache::unbounded())
    }
}

impl Hellos {
    /// Takes in the beginning of a connection.
    pub fn heard(&mut self, socket: u64, stream: &[u8]) {
        if let Some(hello) = read(stream)
            && hello != Hello::default()
        {
            self.0.put(socket, Arc::new(hello));
            if self.0.len() > HELLO_LIMIT {
                self.0.pop_lru();
            }
        }
    }

    /// What was heard of a connection.
    pub fn of(&mut self, socket: u64) -> Option<Arc<Hello>> {
        // Most hosts speak little TLS.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&socket).cloned()
    }
}

/// Bytes that are read from the front, as far as they are there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(*self.take(1)?.first()?)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A vector whose length is in one byte before it, or in two.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(n.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(n.into())
    }
}

/// Reads the beginning of a TLS stream; `None` if it is not a ClientHello.
#[must_use]
pub fn read(stream: &[u8]) -> Option<Hello> {
    let mut reader = Reader(stream);
    let kind = reader.u8()?;
    // Version and length of the record.
    reader.take(4)?;
    if kind != HANDSHAKE || reader.u8()? != CLIENT_HELLO {
        return None;
    }
    let mut hello = Hello::default();
    // What ends early says no more.
    let _ = extensions(reader, &mut hello);
    Some(hello)
}

fn extensions(mut reader: Reader<'_>, hello: &mut Hello) -> Option<()> {
    // Length, version, random.
    reader.take(3 + 2 + 32)?;
    let _session = reader.vector8()?;
    let _suites = reader.vector16()?;
    let _compression = reader.vector8()?;
    let _length = reader.u16()?;
    loop {
        let kind = reader.u16()?;
        let body = reader.vector16()?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(body),
            ALPN => hello.protocols = protocols(body),
            _ => {}
        }
    }
}

fn server_name(body: &[u8]) -> Option<Box<str>> {
    let mut list = Reader(Reader(body).vector16()?);
    if list.u8()? != HOST_NAME {
        return None;
    }
    let name = list.vector16()?;
    let is_name = !name.is_empty()
        && name.len() <= NAME_LIMIT
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
    Some(name.to_ascii_lowercase().into())
}

fn protocols(body: &[u8]) -> Option<Box<str>> {
    let mut list = Reader(Reader(body).vector16()?);
    let mut text = String::new();
    while !list.0.is_empty() {
        let name = std::str::from_utf8(list.vector8()?).ok()?;
        let is_printable = name.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if name.is_empty() || !is_printable || text.len() > NAME_LIMIT {
            return None;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
    }
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the RFCs, with an extension that nobody knows in front.
    fn hello(name: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
        fn vector16(bytes: &[u8]) -> Vec<u8> {
            let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            out.extend(bytes);
            out
        }
        let mut sni = vec![0];
        sni.extend(vector16(name));
        let mut offered = Vec::new();
        for protocol in protocols {
            offered.push(u8::try_from(protocol.len()).unwrap());
            offered.extend(*protocol);
        }
        let mut extensions = vec![0x0a, 0x0a, 0, 1, 0];
        for (kind, body) in [(0u16, vector16(&sni)), (16, vector16(&offered))] {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector16(&body));
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([2, 1, 1]);
        body.extend([0, 2, 0x13, 1]);
        body.extend([1, 0]);
        body.extend(vector16(&extensions));
        let mut out = vec![22, 3, 1];
        let mut handshake = vec![1, 0];
        handshake.extend(vector16(&body));
        out.extend(vector16(&handshake));
        out
    }

    #[test]
    fn name_and_protocol() {
        let bytes = hello(b"Shop.example", &[b"h2", b"http/1.1"]);
        let read = read(&bytes).unwrap();
        assert_eq!(read.server_name.as_deref(), Some("shop.example"));
        assert_eq!(read.protocols.as_deref(), Some("h2,http/1.1"));
    }

    #[test]
    fn what_is_no_name_is_not_kept() {
        for name in [&b""[..], b"a b", b"\xff\xff", b"\"", &[b'a'; 254]] {
            let read = read(&hello(name, &[b""])).unwrap();
            assert_eq!(read, Hello::default(), "{name:?}");
        }
    }

    #[test]
    fn cut_anywhere_it_says_less_and_never_something_else() {
        let bytes = hello(b"shop.example", &[b"h2"]);
        let whole = read(&bytes).unwrap();
        for end in 0..bytes.len() {
            let Some(cut) = read(&bytes[..end]) else {
                assert!(end < 6);
                continue;
            };
            assert!(cut.server_name.is_none() || cut.server_name == whole.server_name);
            assert!(cut.protocols.is_none());
        }
    }

    #[test]
    fn connections_are_kept_up_to_a_limit() {
        let mut hellos = Hellos::default();
        let bytes = hello(b"shop.example", &[]);
        for socket in 0..HELLO_LIMIT as u64 + 3 {
            hellos.heard(socket, &bytes);
        }
        hellos.heard(7_000_000, b"GET / HTTP/1.1");
        assert_eq!((hellos.of(2), hellos.of(7_000_000)), (None, None));
        let kept = hellos.of(3).unwrap();
        assert_eq!(kept.server_name.as_deref(), Some("shop.example"));
        assert_eq!(hellos.0.len(), HELLO_LIMIT);
    }

    proptest::proptest! {
        #[test]
        fn anything_at_all(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let mut bytes = bytes;
            drop(read(&bytes));
            if bytes.len() > 5 {
                bytes[0] = 22;
                bytes[5] = 1;
                assert!(read(&bytes).is_some());
            }
        }
    }
}
