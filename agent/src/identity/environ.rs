//! What a process says of itself in its environment: `OTEL_SERVICE_NAME` and
//! `OTEL_RESOURCE_ATTRIBUTES`.
//!
//! Sources: OpenTelemetry specification, "SDK environment variables" and "Resource SDK: specifying
//! resource information via an environment variable". The bias is the specification's: a value
//! with an error in it is discarded whole, so that no half of it is taken for the truth.

use percent_encoding::percent_decode_str;

use super::text::cut;

/// Most resource attributes that are kept of one process.
pub(super) const MAX_ATTRIBUTES: usize = 32;
/// Longest key of an attribute that is kept, in bytes; a longer one is left out.
pub(super) const MAX_KEY: usize = 128;
/// Longest value of an attribute that is kept, in bytes; a longer one is cut.
pub(super) const MAX_VALUE: usize = 256;

/// The two variables, as they are in the environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables<'a> {
    /// `OTEL_SERVICE_NAME`; empty counts as not set.
    pub(super) service_name: Option<&'a [u8]>,
    /// `OTEL_RESOURCE_ATTRIBUTES`; empty counts as not set.
    pub(super) resource_attributes: Option<&'a [u8]>,
}

/// Finds the variables in the content of `/proc/PID/environ`. `cut` says that the content is
/// only the beginning: its last string is then no whole variable and is ignored.
pub(super) fn find(environ: &[u8], cut: bool) -> Variables<'_> {
    let whole = if cut {
        let end = environ.iter().rposition(|b| *b == 0).unwrap_or(0);
        &environ[..end]
    } else {
        environ
    };
    let mut found = Variables::default();
    // The first of two wins, as in getenv(3).
    for variable in whole.split(|b| *b == 0) {
        if let Some(value) = variable.strip_prefix(b"OTEL_SERVICE_NAME=") {
            found.service_name.get_or_insert(value);
        } else if let Some(value) = variable.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=") {
            found.resource_attributes.get_or_insert(value);
        }
    }
    found.service_name = found.service_name.filter(|v| !v.trim_ascii().is_empty());
    found.resource_attributes = found
        .resource_attributes
        .filter(|v| !v.trim_ascii().is_empty());
    found
}

/// Why a value of `OTEL_RESOURCE_ATTRIBUTES` is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// It is not UTF-8, or not after percent-decoding.
    #[error("it is not UTF-8")]
    Encoding,
    /// A member has no `=`, or nothing before it.
    #[error("a member is not key=value")]
    Pair,
    /// `%` without two hexadecimal digits.
    #[error("a % is not followed by two hexadecimal digits")]
    Escape,
}

/// Reads a value of `OTEL_RESOURCE_ATTRIBUTES`: `key=value` members separated by commas, both
/// sides percent-decoded, spaces around them removed. Empty members (a trailing comma) are no
/// error, as in every comma-separated list of HTTP (RFC 9110 §5.6.1.2). The last of two equal keys
/// wins. What is beyond [`MAX_ATTRIBUTES`] is left out.
pub(super) fn attributes(value: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let value = std::str::from_utf8(value).map_err(|_| Malformed::Encoding)?;
    let mut attributes: Vec<(String, String)> = Vec::new();
    for member in value.split(',').map(str::trim).filter(|m| !m.is_empty()) {
        let (key, value) = member.split_once('=').ok_or(Malformed::Pair)?;
        let key = decode(key.trim())?;
        let mut value = decode(value.trim())?;
        if key.is_empty() {
            return Err(Malformed::Pair);
        }
        if key.len() > MAX_KEY {
            continue;
        }
        value.truncate(cut(&value, MAX_VALUE).len());
        if let Some(known) = attributes.iter_mut().find(|(k, _)| *k == key) {
            known.1 = value;
        } else if attributes.len() < MAX_ATTRIBUTES {
            attributes.push((key, value));
        }
    }
    Ok(attributes)
}

/// Percent-decodes (RFC 3986 §2.1), refusing what the library would let pass.
fn decode(text: &str) -> Result<String, Malformed> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return Err(Malformed::Escape),
        }
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Malformed::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_are_found_among_others() {
        let environ = b"PATH=/bin\0XOTEL_SERVICE_NAME=no\0OTEL_SERVICE_NAME=orders\0\
            OTEL_SERVICE_NAME=second\0OTEL_RESOURCE_ATTRIBUTES=a=b,c=d\0LAST=1\0";
        let found = find(environ, false);
        assert_eq!(found.service_name, Some(&b"orders"[..]));
        assert_eq!(found.resource_attributes, Some(&b"a=b,c=d"[..]));
    }

    #[test]
    fn empty_is_not_set_and_cut_is_not_whole() {
        assert_eq!(
            find(b"OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES= \0", false),
            Variables::default()
        );
        assert_eq!(
            find(b"A=1\0OTEL_SERVICE_NAME=ord", true),
            Variables::default()
        );
        let last = find(b"A=1\0OTEL_SERVICE_NAME=orders\0B", true);
        assert_eq!(last.service_name, Some(&b"orders"[..]));
        assert_eq!(find(b"OTEL_SERVICE_NAME=ord", true), Variables::default());
        // A program may overwrite the end of its environment without a NUL.
        let unended = find(b"OTEL_SERVICE_NAME=orders", false);
        assert_eq!(unended.service_name, Some(&b"orders"[..]));
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn attributes_are_decoded() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("a=b", &[("a", "b")]),
            (
                "service.name=shop,service.version=1.2",
                &[("service.name", "shop"), ("service.version", "1.2")],
            ),
            (" a = b , c = d ", &[("a", "b"), ("c", "d")]),
            ("a=b,,c=d,", &[("a", "b"), ("c", "d")]),
            ("a=", &[("a", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=x%20y%2Cz%3D1", &[("a", "x y,z=1")]),
            ("a=caf%C3%A9", &[("a", "café")]),
            ("k%3D1=v", &[("k=1", "v")]),
            ("a=1,a=2", &[("a", "2")]),
            ("a=b;c=d", &[("a", "b;c=d")]),
            ("a=1+2", &[("a", "1+2")]),
        ];
        for (value, expected) in table {
            assert_eq!(
                attributes(value.as_bytes()),
                Ok(pairs(expected)),
                "{value:?}"
            );
        }
    }

    #[test]
    fn one_error_discards_the_whole() {
        let table: &[(&[u8], Malformed)] = &[
            (b"a=b,c", Malformed::Pair),
            (b"=b", Malformed::Pair),
            (b"a=b, =c", Malformed::Pair),
            (b"a=%", Malformed::Escape),
            (b"a=%4", Malformed::Escape),
            (b"a=%zz", Malformed::Escape),
            (b"a=%%20", Malformed::Escape),
            (b"good=1,a=%ff", Malformed::Encoding),
            (b"a=\xff", Malformed::Encoding),
        ];
        for (value, error) in table {
            assert_eq!(attributes(value), Err(*error), "{value:?}");
        }
    }

    #[test]
    fn number_and_length_are_bounded() {
        let many: Vec<String> = (0..100).map(|i| format!("k{i}=v{i}")).collect();
        let kept = attributes(many.join(",").as_bytes()).unwrap();
        assert_eq!(kept.len(), MAX_ATTRIBUTES);
        assert_eq!(kept[31], ("k31".to_owned(), "v31".to_owned()));

        // 255 bytes and then a character of two: it is left out whole.
        let long = format!("a={}é,{}=x,b=c", "v".repeat(255), "k".repeat(129));
        let expected = pairs(&[("a", &"v".repeat(255)), ("b", "c")]);
        assert_eq!(attributes(long.as_bytes()), Ok(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..2048), cut: bool,
        ) {
            let _ = find(&bytes, cut);
            if let Ok(kept) = attributes(&bytes) {
                prop_assert!(kept.len() <= MAX_ATTRIBUTES);
                for (key, value) in kept {
                    prop_assert!(!key.is_empty() && key.len() <= MAX_KEY);
                    prop_assert!(value.len() <= MAX_VALUE);
                }
            }
        }

        #[test]
        fn what_is_encoded_comes_back(
            written in proptest::collection::btree_map("[a-z.]{1,20}", "\\PC{0,40}", 1..20),
        ) {
            let text: Vec<String> = written
                .iter()
                .map(|(k, v)| {
                    let v: String = v.bytes().map(|b| format!("%{b:02X}")).collect();
                    format!("{k}={v}")
                })
                .collect();
            let expected: Vec<(String, String)> = written.into_iter().collect();
            prop_assert_eq!(attributes(text.join(",").as_bytes()), Ok(expected));
        }
    }
}
