//! `traceparent` of W3C Trace Context, read strictly.
//!
//! <https://www.w3.org/TR/trace-context/#traceparent-header>: 55 bytes of lower-case hexadecimal
//! and dashes, `version-traceid-parentid-flags`. A version later than 00 may append fields after
//! another dash.

use super::hex;
use crate::exchange::TraceContext;

/// Length of the four fields that every version has.
const LENGTH: usize = 55;

/// Reads the value of one `traceparent` header, without surrounding white space.
///
/// `None` for: a wrong length (exactly 55 bytes in version 00; in later ones, byte 56 must be a
/// dash if there is one), upper-case or other non-hexadecimal digits, version `ff`, and ids that
/// are all zero. The flags are kept as they are: bits that version 00 does not define are no error.
pub(super) fn parse(value: &[u8]) -> Option<TraceContext> {
    let (fields, rest) = value.split_at_checked(LENGTH)?;
    let [version] = hex::lower(&fields[..2])?;
    match (version, rest) {
        (0xff, _) => return None,
        (_, []) => {}
        (0, _) => return None,
        (_, [b'-', ..]) => {}
        (_, _) => return None,
    }
    if fields[2] != b'-' || fields[35] != b'-' || fields[52] != b'-' {
        return None;
    }
    let trace_id: [u8; 16] = hex::lower(&fields[3..35])?;
    let parent_id: [u8; 8] = hex::lower(&fields[36..52])?;
    let [flags] = hex::lower(&fields[53..55])?;
    if trace_id == [0; 16] || parent_id == [0; 8] {
        return None;
    }
    Some(TraceContext {
        trace_id,
        parent_id,
        flags,
        deferred: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: [u8; 16] = [
        0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31,
        0x9c,
    ];
    const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];

    fn context(flags: u8) -> Option<TraceContext> {
        Some(TraceContext {
            trace_id: TRACE,
            parent_id: PARENT,
            flags,
            deferred: false,
        })
    }

    #[test]
    fn table() {
        let cases: &[(&str, Option<TraceContext>)] = &[
            // The example of the recommendation, and other flags.
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                context(1),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                context(0),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
                context(3),
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
                context(0xff),
            ),
            // Later versions: the four fields, then nothing or a dash.
            (
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                context(1),
            ),
            (
                "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
                context(1),
            ),
            (
                "fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                context(1),
            ),
            (
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
                None,
            ),
            (
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-012",
                None,
            ),
            // Version 00 has exactly 55 bytes.
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                None,
            ),
            ("", None),
            // Version ff.
            (
                "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                None,
            ),
            // Not lower-case hexadecimal, field by field.
            (
                "0A-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
                None,
            ),
            (
                "0.-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
                None,
            ),
            // Delimiters.
            (
                "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
                None,
            ),
            (
                " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                None,
            ),
            // Ids that are all zero.
            (
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                None,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                None,
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value.as_bytes()), *expected, "{value}");
        }
    }

    fn written(version: u8, context: &TraceContext) -> String {
        format!(
            "{version:02x}-{:032x}-{:016x}-{:02x}",
            u128::from_be_bytes(context.trace_id),
            u64::from_be_bytes(context.parent_id),
            context.flags
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            version in 0_u8..0xff,
            trace in 1_u128..,
            parent in 1_u64..,
            flags: u8,
        ) {
            let context = TraceContext {
                trace_id: trace.to_be_bytes(),
                parent_id: parent.to_be_bytes(),
                flags,
                deferred: false,
            };
            prop_assert_eq!(parse(written(version, &context).as_bytes()), Some(context));
        }

        /// Whatever is accepted says what its first 55 bytes say.
        #[test]
        fn what_is_read_was_written(value in "[0-9a-fA-F\\-]{50,60}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[-a]{0,2}") {
            if let Some(context) = parse(value.as_bytes()) {
                let version = u8::from_str_radix(&value[..2], 16).unwrap();
                prop_assert_eq!(written(version, &context), &value[..55]);
            }
        }

        #[test]
        fn one_changed_byte_is_read_as_such_or_not_at_all(position in 0_usize..55, byte: u8) {
            let mut value = *b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            value[position] = byte;
            if let Some(context) = parse(&value) {
                let text = std::str::from_utf8(&value).unwrap();
                let version = u8::from_str_radix(&text[..2], 16).unwrap();
                prop_assert_eq!(written(version, &context), text);
            }
        }

        #[test]
        fn nothing_panics(value: Vec<u8>) {
            let _ = parse(&value);
        }
    }
}
