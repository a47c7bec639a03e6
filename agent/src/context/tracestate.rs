//! `tracestate` of W3C Trace Context: <https://www.w3.org/TR/trace-context-2/#tracestate-header>.
//!
//! It belongs to tracing systems, and goes on as it came but for the entry that is OpenTelemetry's.
//! If anything in it is wrong there is none; that has no bearing on `traceparent`.

/// Most members that there may be.
pub const MEMBER_LIMIT: usize = 32;

/// Longest value that is kept, in bytes; the recommendation asks for at least so many.
pub const LENGTH_LIMIT: usize = 512;

/// A member longer than this goes first where there are too many bytes.
const LONG_MEMBER: usize = 128;

/// Puts the values of all `tracestate` headers of a request together, in their order.
///
/// `None` if there is no member, if one is malformed, if a key comes twice, or if there are more
/// than [`MEMBER_LIMIT`]. Whole members are left out as far as it takes to stay within
/// [`LENGTH_LIMIT`]: long ones first, then those on the right.
pub(super) fn parse(values: &[&[u8]]) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for member in values
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
    {
        let member = trim(member);
        if member.is_empty() {
            continue;
        }
        let (key, _) = split(member)?;
        let member = std::str::from_utf8(member).ok()?;
        let twice = members.iter().any(|other| {
            other
                .as_bytes()
                .strip_prefix(key)
                .is_some_and(|rest| rest.first() == Some(&b'='))
        });
        if twice || members.len() == MEMBER_LIMIT {
            return None;
        }
        members.push(member);
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| members.join(","))
}

fn shorten(members: &mut Vec<&str>) {
    let length =
        |members: &[&str]| -> usize { members.iter().map(|member| member.len() + 1).sum() };
    while length(members) > LENGTH_LIMIT + 1 {
        match members
            .iter()
            .rposition(|member| member.len() > LONG_MEMBER)
        {
            Some(long) => {
                members.remove(long);
            }
            None => {
                members.pop();
            }
        }
    }
}

/// Without the white space around it that a list may have (RFC 9110 §5.6.1).
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

/// Key and value of a member, if it is one.
fn split(member: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let [first, rest @ ..] = key else { return None };
    let begins = matches!(first, b'a'..=b'z' | b'0'..=b'9');
    let goes_on =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let printable = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    let valid = begins
        && rest.len() <= 255
        && rest.iter().all(goes_on)
        && (1..=256).contains(&value.len())
        && value.iter().all(printable);
    valid.then_some((key, value))
}
