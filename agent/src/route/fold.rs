//! Identifiers in a path replaced by `{id}`.
//!
//! The rules lean to folding: an identifier left in place costs a series for each of its values,
//! a word folded by mistake merges two routes. Everything is judged by shape alone, segment by
//! segment, so the same path gives the same route on every host and after every restart, and
//! folding a route again gives the same route.

/// What stands for an identifier.
const ID: &str = "{id}";

/// What stands for the segments beyond [`MAX_DEPTH`].
const REST: &str = "{rest*}";

/// Segments that are kept.
pub(super) const MAX_DEPTH: usize = 8;

/// Longest segment that can be text, in bytes.
const MAX_SEGMENT: usize = 80;

/// Longest result, in bytes.
#[cfg(test)]
pub(super) const MAX_ROUTE: usize = MAX_DEPTH * (1 + MAX_SEGMENT) + 1 + REST.len();

/// Parts of a file name or dotted name that are looked at one by one.
const MAX_PARTS: usize = 8;

/// Longest name without a digit or separator; beyond that it is taken for a token.
const MAX_WORD: usize = 40;

/// Shortest token: letters and digits mixed.
const TOKEN: usize = 16;

/// Words in a slug (`why-we-chose-rust-again`): as many make it a title, not a name.
const SLUG_WORDS: usize = 5;

/// The route of a path, or `None` if the target is no path. Repeated and trailing slashes are
/// dropped; the last segment of a truncated path is an identifier whatever it looks like.
pub(super) fn fold(path: &str, truncated: bool) -> Option<String> {
    if path == "*" {
        return Some("*".into());
    }
    let path = path.strip_prefix('/')?;
    let (whole, cut) = match (truncated, path.rsplit_once('/')) {
        (false, _) => (path, false),
        (true, Some((whole, _))) => (whole, true),
        (true, None) => ("", true),
    };
    let mut route = String::with_capacity(path.len() + 1);
    let mut depth = 0;
    for segment in whole.split('/').filter(|segment| !segment.is_empty()) {
        route.push('/');
        if depth == MAX_DEPTH {
            route.push_str(REST);
            return Some(route);
        }
        fold_segment(&mut route, segment);
        depth += 1;
    }
    if cut {
        route.push('/');
        route.push_str(if depth == MAX_DEPTH { REST } else { ID });
    }
    if route.is_empty() {
        route.push('/');
    }
    Some(route)
}

fn fold_segment(route: &mut String, segment: &str) {
    let start = route.len();
    // Matrix parameters (RFC 3986 §3.3, `;jsessionid=…`) are no part of a name.
    let name = segment.split(';').next().unwrap_or_default();
    if !is_name(name) || !push_name(route, name) || route.len() - start > MAX_SEGMENT {
        route.truncate(start);
        route.push_str(ID);
    }
}

/// Whether a segment can be a name at all.
fn is_name(segment: &str) -> bool {
    if segment.is_empty() || segment.len() > MAX_SEGMENT || segment == "." || segment == ".." {
        return false;
    }
    let bytes = segment.as_bytes();
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let numeric = |byte: &u8| byte.is_ascii_digit() || b"+,-._:".contains(byte);
    let is_number = has_digit && bytes.iter().all(numeric);
    !is_number && !begins_with_date(bytes)
}

/// `2024-01-31` and what follows it (RFC 3339).
fn begins_with_date(bytes: &[u8]) -> bool {
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Appends a name with the identifiers in it folded; `false` if it is no name after all.
fn push_name(route: &mut String, name: &str) -> bool {
    // `@vite`, `@scope`; an `@` elsewhere is an email address or a handle and is refused below.
    let name = match name.strip_prefix('@') {
        Some(rest) => {
            route.push('@');
            rest
        }
        None => name,
    };
    // `orders/17:cancel`: a custom method (Google AIP-136) is a name.
    match name.split_once(':') {
        None => push_dotted(route, name),
        Some((head, verb)) => {
            let is_verb = !verb.is_empty()
                && verb.len() <= MAX_WORD
                && verb.bytes().all(|byte| byte.is_ascii_alphabetic());
            if !is_verb || !push_dotted(route, head) {
                return false;
            }
            route.push(':');
            route.push_str(verb);
            true
        }
    }
}

/// File names and dotted names: `app.3f2a9c1b.js` is `app.{id}.js`.
fn push_dotted(route: &mut String, name: &str) -> bool {
    if name.is_empty() || name.contains('@') || name.split('.').count() > MAX_PARTS {
        return false;
    }
    let mut last_was_id = false;
    for (at, part) in name.split('.').enumerate() {
        let is_id = part == ID || is_identifier(part);
        if is_id && last_was_id {
            continue;
        }
        if at > 0 {
            route.push('.');
        }
        route.push_str(if is_id { ID } else { part });
        last_was_id = is_id;
    }
    true
}

/// Whether a part (no dots, no slashes) is an identifier.
fn is_identifier(part: &str) -> bool {
    if part.is_empty() {
        return false;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~$".contains(&byte);
    if !part.bytes().all(plain) {
        // Percent-encoding, `key=value`, `Products(42)`, letters beyond ASCII: data, not a name.
        return true;
    }
    let words = || part.split(['-', '_', '~']).filter(|word| !word.is_empty());
    if words().count() >= SLUG_WORDS || is_uuid(part) {
        return true;
    }
    if !part.bytes().any(|byte| byte.is_ascii_digit()) {
        return part.len() > MAX_WORD;
    }
    if part.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    if words().count() == 1 && is_version(part) {
        return false;
    }
    words().any(is_identifier_word)
        || (part.len() >= TOKEN && words().any(|word| changes(word) > 2))
}

/// Whether a word (letters and digits) within a part is an identifier.
fn is_identifier_word(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return false;
    }
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    longest_number(word) >= 4
        || (word.len() >= 8 && hex(word))
        || word
            .strip_prefix("0x")
            .is_some_and(|rest| rest.len() >= 2 && hex(rest))
        || (digits < word.len() && word.len() >= TOKEN)
        || (word.len() >= 6 && changes(word) >= 3 && !is_version(word))
}

/// 32 hexadecimal digits with or without dashes (RFC 9562), even when all are letters.
fn is_uuid(part: &str) -> bool {
    let bytes = part.as_bytes();
    match bytes.len() {
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        36 => bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}

/// `v1`, `v2beta1`, `v1alpha`, `v3rc12`.
fn is_version(word: &str) -> bool {
    let Some(rest) = word.strip_prefix(['v', 'V']) else {
        return false;
    };
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = number(rest);
    if !(1..=3).contains(&major) {
        return false;
    }
    let stage = &rest[major..];
    if stage.is_empty() {
        return true;
    }
    ["alpha", "beta", "rc", "preview"]
        .iter()
        .filter_map(|name| stage.strip_prefix(name))
        .any(|rest| rest.len() <= 3 && number(rest) == rest.len())
}

/// Length of the longest run of digits.
fn longest_number(word: &str) -> usize {
    word.split(|char: char| !char.is_ascii_digit())
        .map(str::len)
        .max()
        .unwrap_or(0)
}

/// How often letters and digits change over.
fn changes(word: &str) -> usize {
    word.as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count()
}

#[cfg(test)]
mod tests;
