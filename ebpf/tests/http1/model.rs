//! Conversations whose truth is known.

use proptest::prelude::*;

/// How a body is framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Body {
    pub fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Length(bytes) => bytes.len() as u64,
            Self::Chunked(chunks) => chunks.iter().map(|c| c.len() as u64).sum(),
        }
    }

    fn header(&self, name_case: bool) -> String {
        let header = match self {
            Self::None => return String::new(),
            Self::Length(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
            Self::Chunked(_) => "Transfer-Encoding: gzip, chunked\r\n".into(),
        };
        if name_case {
            header.to_lowercase()
        } else {
            header
        }
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Length(bytes) => to.extend(bytes),
            Self::Chunked(chunks) => {
                for chunk in chunks.iter().filter(|c| !c.is_empty()) {
                    to.extend(format!("{:x};ext=1\r\n", chunk.len()).bytes());
                    to.extend(chunk);
                    to.extend(b"\r\n");
                }
                to.extend(b"0\r\nTrailer: yes\r\n\r\n");
            }
        }
    }
}

/// One request and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub lower_case: bool,
    pub request: Body,
    pub interim: bool,
    pub status: u16,
    pub response: Body,
}

impl Exchange {
    pub fn request_head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &self.request.header(self.lower_case);
        head += "\r\n";
        head.into_bytes()
    }

    pub fn request_bytes(&self) -> Vec<u8> {
        let mut bytes = self.request_head();
        self.request.write(&mut bytes);
        bytes
    }

    /// Whether the response has a body by RFC 9112 §6.3.
    pub fn has_response_body(&self) -> bool {
        self.method != "HEAD" && self.status != 204 && self.status != 304
    }

    pub fn response_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.interim {
            bytes.extend(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
        }
        bytes.extend(format!("HTTP/1.1 {} Whatever\r\n", self.status).bytes());
        bytes.extend(b"Cache-Control: no-store\r\nContent-Type: text/plain\r\nTe: x\r\n");
        bytes.extend(self.response.header(self.lower_case).bytes());
        // A HEAD's response names a length that does not follow.
        bytes.extend(b"\r\n");
        if self.has_response_body() {
            self.response.write(&mut bytes);
        }
        bytes
    }

    pub fn response_len(&self) -> u64 {
        if self.has_response_body() {
            self.response.len()
        } else {
            0
        }
    }
}

fn body(framed: bool) -> impl Strategy<Value = Body> {
    let bytes = || {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(any::<u8>(), 1000..3000),
            // What would be taken for a head if the framing were lost.
            Just(b"GET /not-a-request HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ]
    };
    let chunked = proptest::collection::vec(bytes(), 0..5).prop_map(Body::Chunked);
    let length = bytes().prop_map(Body::Length);
    if framed {
        prop_oneof![length, chunked].boxed()
    } else {
        prop_oneof![Just(Body::None), length, chunked].boxed()
    }
}

pub fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop_oneof![
        Just("GET"),
        Just("HEAD"),
        Just("POST"),
        Just("DELETE"),
        Just("PROPFIND"),
        Just("x-purge"),
        Just("UPDATEREDIRECTREF"),
    ];
    let path = prop_oneof![
        "/[a-z]{0,20}",
        "/[a-z]{60,70}",
        "/[a-z0-9]{900,1400}",
        Just("*".to_string()),
        Just("http://a.example/x".to_string())
    ];
    let header = (
        prop_oneof![
            "[A-Za-z-]{1,20}",
            Just("Content-Type".to_string()),
            Just("Cookie".to_string()),
            Just("Content-Lengt".to_string()),
            Just("Transfer-Encodin".to_string()),
            Just("TE".to_string())
        ],
        "[ -~]{0,80}",
    )
        .prop_filter("not the headers that frame", |(name, _)| {
            !name.eq_ignore_ascii_case("content-length")
                && !name.eq_ignore_ascii_case("transfer-encoding")
        });
    let status = prop_oneof![Just(200u16), Just(204), Just(304), Just(404), Just(500)];
    (
        method,
        path,
        proptest::collection::vec(header, 0..8),
        any::<bool>(),
        body(false),
        any::<bool>(),
        status,
        body(true),
    )
        .prop_map(
            |(method, path, headers, lower_case, request, interim, status, response)| Exchange {
                method,
                path,
                headers,
                lower_case,
                request,
                interim,
                status,
                response,
            },
        )
}

/// Cuts `bytes` at these places (taken modulo its length).
pub fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
    places.sort_unstable();
    places.dedup();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        if place > from {
            pieces.push(&bytes[from..place]);
            from = place;
        }
    }
    pieces
}
