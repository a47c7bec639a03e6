//! What must not be in a file.

use hark_common::http2::{Http2Direction, Http2Record};
use hark_common::socket::{HEAD_CHUNK, ProcessRecord};

use super::*;
use crate::context::Format;
use crate::http1::{Extent, HeadParser};
use crate::record::decode;

/// A head with the secret `hunter2` wherever one could be.
const HEADS: [&str; 7] = [
    "GET /path/kept?token=hunter2&a=/hunter2#hunter2 HTTP/1.1\r\nHost: shop.example:80\r\nAuthorization: Bearer hunter2\r\nCookie: a=hunter2; b=hunter2\r\nUser-Agent: curl/8.5.0\r\nX-Api-Key:hunter2\r\nbaggage: k=hunter2\r\ntracestate: v=hunter2\r\nTraceParent: a\r\nX-Hostess: hunter2\r\nHos: hunter2\r\nContent-Length: 5\r\n\r\n",
    "POST http://user:hunter2@Shop.example:81/path/kept?q=hunter2 HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic hunter2\r\n\r\n",
    "CONNECT user:hunter2@shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n",
    "GET /folded HTTP/1.1\nHost: a\nCookie: a=1;\n hunter2: Host: hunter2\n\thunter2\nUser-Agent: u\n hunter2\n\n",
    "GET /bad HTTP/1.1\r\nhunter2\r\nho st hunter2: x\r\nHost hunter2\r\n: hunter2\r\nhunter2 : hunter2\r\nUser-Agent: u\r\n\r\n",
    "GET /spaces?a=hunter2 hunter2 hunter2 HTTP/1.1\r\n\r\n",
    "GET rel?u=http://hunter2/hunter2@h HTTP/1.1\r\nAccept: \0hunter2\rhunter2\r\n\r\n",
];

/// A file with a head in pieces that end at these places.
fn recorded(head: &[u8], ends: &[usize]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut start = 0;
    for end in ends.iter().copied().chain([head.len()]) {
        let last = end == head.len();
        records.push(piece(9, 4, start, &head[start..end], last));
        start = end;
    }
    written(true, &records)
}

/// The head of a file whose records are its pieces.
fn head_of(file: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for record in read(file).unwrap().1 {
        match decode(&record) {
            Ok(Record::Request { head: piece, .. }) => head.extend_from_slice(piece),
            other => panic!("{other:?}"),
        }
    }
    head
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[test]
fn a_redacted_head_is_this() {
    let expected = [
        "GET /path/kept?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\nHost: shop.example:80\r\nAuthorization:xxxxxxxxxxxxxxx\r\nCookie:xxxxxxxxxxxxxxxxxxxxx\r\nUser-Agent: curl/8.5.0\r\nX-Api-Key:xxxxxxx\r\nbaggage:xxxxxxxxxx\r\ntracestate:xxxxxxxxxx\r\nTraceParent: a\r\nX-Hostess:xxxxxxxx\r\nHos:xxxxxxxx\r\nContent-Length: 5\r\n\r\n",
        "POST http://xxxxxxxxxxxx@Shop.example:81/path/kept?xxxxxxxxx HTTP/1.1\r\nHost: other\r\nProxy-Authorization:xxxxxxxxxxxxxx\r\n\r\n",
        "CONNECT xxxxxxxxxxxx@shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n",
        "GET /folded HTTP/1.1\nHost: a\nCookie:xxxxx\n xxxxxxxxxxxxxxxxxxxxxx\n\txxxxxxx\nUser-Agent: u\n xxxxxxx\n\n",
        "GET /bad HTTP/1.1\r\nxxxxxxx\r\nxxxxxxxxxxxxxxxx\r\nxxxxxxxxxxxx\r\n:xxxxxxxx\r\nxxxxxxxxxxxxxxxxx\r\nUser-Agent: u\r\n\r\n",
        "GET /spaces?xxxxxxxxx xxxxxxx xxxxxxx HTTP/1.1\r\n\r\n",
        "GET rel?xxxxxxxxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\nAccept:xxxxxxxxx\rxxxxxxx\r\n\r\n",
    ];
    for (head, expected) in HEADS.into_iter().zip(expected) {
        let redacted = head_of(&recorded(head.as_bytes(), &[]));
        assert_eq!(String::from_utf8(redacted).unwrap(), expected);
    }
}

#[test]
fn secrets_stay_out_wherever_a_head_is_parted() {
    for head in HEADS {
        let bytes = head.as_bytes();
        let single: Vec<_> = (1..bytes.len()).collect();
        // Of a secret that is parted, no three letters may stay either.
        for ends in (1..bytes.len()).map(|end| vec![end]).chain([single]) {
            let file = recorded(bytes, &ends);
            let redacted = head_of(&file);
            assert_eq!(redacted.len(), bytes.len());
            for part in ["hun", "unt", "er2"] {
                assert!(
                    !contains(&redacted, part),
                    "{ends:?}: {}",
                    String::from_utf8_lossy(&redacted)
                );
            }
        }
    }
}

#[test]
fn a_redacted_head_reads_as_the_one_it_was() {
    let mut parser = HeadParser::new(&Format::ALL);
    // The last but one has spaces in its target, whose second half is taken for a version.
    for head in &HEADS[..5] {
        let bytes = head.as_bytes();
        let whole = parser.parse(Role::Server, bytes, Extent::Whole).unwrap();
        for end in 1..bytes.len() {
            let redacted = head_of(&recorded(bytes, &[end]));
            let again = parser
                .parse(Role::Server, &redacted, Extent::Whole)
                .unwrap();
            // A target with user information that is parted is taken out, as documented.
            if bytes.starts_with(b"GET /") {
                assert_eq!(again, whole, "{end}");
            } else {
                assert_eq!(again.body, whole.body, "{end}");
            }
        }
    }
}

#[test]
fn after_a_missing_piece_nothing_is_believed_up_to_the_end_of_the_line() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: hunter2hunter2\r\nUser-Agent: u\r\n\r\n";
    // The first piece ends in a value that stays, the second begins in a secret.
    let (cut, secret) = (22, 40);
    for (socket, index, offset) in [(8, 4, cut), (9, 5, cut), (9, 4, secret)] {
        let records = [
            piece(9, 4, 0, &head[..cut], false),
            piece(socket, index, offset, &head[secret..], true),
        ];
        let records = read(&written(true, &records)).unwrap().1;
        let Ok(Record::Request { head: second, .. }) = decode(&records[1]) else {
            panic!("not a request");
        };
        let value = head[secret..]
            .iter()
            .position(|byte| *byte == b'\r')
            .unwrap();
        let expected = [&vec![b'x'; value][..], b"\r\nUser-Agent: u\r\n\r\n"].concat();
        assert_eq!(second, expected);
    }
}

#[test]
fn command_lines_keep_only_the_program() {
    for (args, expected) in [
        (
            "nginx: master process nginx -p hunter2",
            "nginx:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        (
            "/usr/bin/mysql\0-phunter2\0--password=hunter2\0hunter2\0",
            "/usr/bin/mysql\0-xxxxxxxx\0--xxxxxxxxxxxxxxxx\0xxxxxxx\0",
        ),
        (
            "python3\0-u\0/srv/shop/app.py\0hunter2\0",
            "python3\0-x\0/srv/shop/app.py\0xxxxxxx\0",
        ),
        (
            "/usr/bin/python3.12\0-m\0http.server\0--bind\0hunter2\0",
            "/usr/bin/python3.12\0-m\0http.server\0--xxxx\0xxxxxxx\0",
        ),
        (
            "python3\0/usr/bin/gunicorn\0app:hunter2\0",
            "python3\0/usr/bin/gunicorn\0xxxxxxxxxxx\0",
        ),
        (
            "python3\0-c\0print('hunter2')\0",
            "python3\0-x\0xxxxxxxxxxxxxxxx\0",
        ),
        (
            "java\0-Dpassword=hunter2\0-jar\0orders.jar\0hunter2\0",
            "java\0-xxxxxxxxxxxxxxxxx\0-jar\0orders.jar\0xxxxxxx\0",
        ),
        ("git\0commit\0-m\0hunter2\0", "git\0xxxxxx\0-x\0xxxxxxx\0"),
        ("shop\0hunter2\0", "shop\0xxxxxxx\0"),
        (
            "node\0server.js\0--key\0hunter2",
            "node\0server.js\0--xxx\0xxxxxxx",
        ),
        ("curl\0user:hunter2@h/a.js\0", "curl\0xxxxxxxxxxxxxxxxxxx\0"),
        ("", ""),
    ] {
        let record = ProcessRecord::default();
        let mut bytes = Vec::new();
        let args = args.as_bytes();
        let environ = b"PASSWORD=hunter2\0OTEL_SERVICE_NAME=shop\0";
        encode(
            &Record::Process {
                record,
                args,
                environ,
            },
            &mut bytes,
        );
        let records = read(&written(true, &[bytes.clone()])).unwrap().1;
        match decode(&records[0]) {
            Ok(Record::Process {
                args,
                environ: kept,
                ..
            }) => {
                assert_eq!(String::from_utf8_lossy(args), expected);
                assert_eq!(kept, [b'x'].repeat(environ.len()));
            }
            other => panic!("{other:?}"),
        }
        // Raw is raw.
        assert_eq!(read(&written(false, &[bytes.clone()])).unwrap().1, [bytes]);
    }
}

/// A header block cannot be told apart into names and values without all the blocks before it.
#[test]
fn frames_of_http2_stay_out() {
    let mut record = Vec::new();
    encode(
        &Record::Http2 {
            role: Some(Role::Server),
            direction: Http2Direction::Received,
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record: Http2Record {
                local: UNIX,
                peer: UNIX,
                ..Http2Record::default()
            },
            frames: b"\0\0\x09\x01\x05\0\0\0\x01\x0f\x08\x07hunter2",
        },
        &mut record,
    );
    let mut writer = Writer::new(Vec::new(), &header(true), u64::MAX).unwrap();
    assert_eq!(writer.write(&record).unwrap(), Recorded::Private);
    assert!(!contains(&writer.finish().unwrap(), "hunter2"));
    // Raw is raw.
    assert_eq!(
        read(&written(false, &[record.clone()])).unwrap().1,
        [record]
    );
}

proptest! {
    /// Whatever the bytes and the pieces: sizes stay, and a byte stays or is an `x`.
    #[test]
    fn any_head_keeps_its_framing(
        head in vec(any::<u8>(), 0..2000),
        ends in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut ends: Vec<_> = ends.iter().map(|end| end.index(head.len() + 1)).collect();
        ends.extend([0, head.len() / 2]);
        ends.sort_unstable();
        ends.retain(|end| *end < head.len());
        let mut last = 0;
        prop_assume!(ends.iter().chain([&head.len()]).all(|end| {
            let fits = end - last <= HEAD_CHUNK;
            last = *end;
            fits
        }));
        let redacted = head_of(&recorded(&head, &ends));
        prop_assert_eq!(redacted.len(), head.len());
        for (before, after) in head.iter().zip(&redacted) {
            prop_assert!(before == after || *after == b'x');
            prop_assert!(!matches!(before, b'\r' | b'\n') || before == after);
        }
    }
}
