//! From text to the typed value of a key, and back.

use std::path::{Component, PathBuf};

use super::Config;
use super::error::{nearest, quote};
use super::key::{Key, Kind};
use super::quantity::{format_duration, format_size, parse_count, parse_duration, parse_size};

/// A value as it was written, before its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// A scalar.
    Text(String),
    /// A list of scalars.
    List(Vec<String>),
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Which item of a list it is, if it is one.
    pub(super) item: Option<usize>,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { item: None, reason }
    }
}

/// The longest list of templates, and the longest template in bytes.
const TEMPLATES: usize = 10_000;
const TEMPLATE_BYTES: usize = 1_024;

impl Key {
    /// Sets the key from what was written. The error says what is wrong with the value.
    pub(super) fn set(&self, config: &mut Config, raw: &Raw) -> Result<(), Refused> {
        match (&self.kind, raw) {
            (Kind::Templates(field), Raw::List(items)) => {
                *field(config) = templates(items)?;
                return Ok(());
            }
            (Kind::List { set, .. }, Raw::List(items)) => {
                return set(config, items).map_err(|(item, reason)| Refused {
                    item: Some(item),
                    reason: format!(
                        "`{}` {reason}",
                        quote(items.get(item).map_or("", String::as_str))
                    ),
                });
            }
            (Kind::Templates(_) | Kind::List { .. }, Raw::Text(_)) => {
                return Err(
                    "this is a list; write each item on a line of its own that begins with `- `"
                        .to_owned()
                        .into(),
                );
            }
            (_, Raw::List(_)) => {
                return Err("this is a single value, not a list".to_owned().into());
            }
            (kind, Raw::Text(text)) => set_scalar(kind, config, text),
        }
        .map_err(|reason| format!("`{}` {reason}", quote(raw.text())).into())
    }

    /// The present value, in the form in which it can be written.
    pub(super) fn get(&self, config: &Config) -> Raw {
        // The accessors give the place of a value, which is what reading needs; a copy of a small
        // structure is a fair price for having one accessor instead of two.
        let config = &mut config.clone();
        Raw::Text(match &self.kind {
            Kind::Address(field) => field(config).to_string(),
            Kind::Directory(field) => field(config).display().to_string(),
            Kind::Switch(field) => field(config).to_string(),
            Kind::Count { field, .. } => field(config).to_string(),
            Kind::Size { field, .. } => format_size(u64::from(*field(config))),
            Kind::Duration { field, .. } => format_duration(*field(config)),
            Kind::Choice { get, .. } => get(config).to_owned(),
            Kind::Share(field) => field(config).to_string(),
            Kind::List { get, .. } => return Raw::List(get(config)),
            Kind::Templates(field) => return Raw::List(field(config).clone()),
        })
    }

    /// What the values are, for people: `a duration from 10s to 7d`.
    pub(super) fn values(&self) -> String {
        match &self.kind {
            Kind::Address(_) => "an IP address with a port".into(),
            Kind::Directory(_) => "an absolute path".into(),
            Kind::Switch(_) => "`true` or `false`".into(),
            Kind::Count {
                range: (min, max), ..
            } => format!("a number from {min} to {max}"),
            Kind::Size {
                range: (min, max), ..
            } => format!(
                "a size from {} to {}",
                format_size(u64::from(*min)),
                format_size(u64::from(*max))
            ),
            Kind::Duration {
                range: (min, max), ..
            } => format!(
                "a duration from {} to {}",
                format_duration(*min),
                format_duration(*max)
            ),
            Kind::Choice { words, .. } => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            Kind::Share(_) => "a number from 0 to 1".into(),
            Kind::Templates(_) => "a list of path templates".into(),
            Kind::List { of, .. } => (*of).into(),
        }
    }
}

impl Raw {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::List(_) => "",
        }
    }
}

/// Sets a key that has a single value. The error goes on after the value: "is not …".
fn set_scalar(kind: &Kind, config: &mut Config, text: &str) -> Result<(), String> {
    match kind {
        Kind::Address(field) => {
            *field(config) = text.parse().map_err(|_| {
                "is not an IP address with a port such as `127.0.0.1:9465` or `[::1]:9465`"
                    .to_owned()
            })?;
        }
        Kind::Directory(field) => {
            let path = PathBuf::from(text);
            if !path.is_absolute() || text.contains('\0') {
                return Err("is not an absolute path such as `/proc`".into());
            }
            if path.components().any(|part| part == Component::ParentDir) {
                return Err("has `..` in it; write the path without".into());
            }
            *field(config) = path;
        }
        Kind::Switch(field) => {
            *field(config) = match text {
                "true" => true,
                "false" => false,
                _ => return Err("is neither `true` nor `false`".into()),
            };
        }
        Kind::Count { field, range } => {
            let number = parse_count(text)?;
            let (min, max) = *range;
            *field(config) = usize::try_from(number)
                .ok()
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| format!("is not between {min} and {max}"))?;
        }
        Kind::Size { field, range } => {
            let bytes = parse_size(text)?;
            let (min, max) = *range;
            *field(config) = u32::try_from(bytes)
                .ok()
                .filter(|bytes| (min..=max).contains(bytes))
                .ok_or_else(|| {
                    format!(
                        "is not between {} and {}",
                        format_size(u64::from(min)),
                        format_size(u64::from(max))
                    )
                })?;
        }
        Kind::Duration { field, range } => {
            let duration = parse_duration(text)?;
            let (min, max) = *range;
            if !(min..=max).contains(&duration) {
                return Err(format!(
                    "is not between {} and {}",
                    format_duration(min),
                    format_duration(max)
                ));
            }
            *field(config) = duration;
        }
        Kind::Choice { words, set, .. } => {
            if !words.contains(&text) {
                let hint = nearest(text, words.iter().copied()).map_or_else(
                    || {
                        let words: Vec<String> =
                            words.iter().map(|word| format!("`{word}`")).collect();
                        format!("it can be {}", words.join(", "))
                    },
                    |word| format!("did you mean `{word}`?"),
                );
                return Err(format!("is not a value of this key; {hint}"));
            }
            set(config, text);
        }
        Kind::Share(field) => {
            *field(config) = text
                .parse()
                .ok()
                .filter(|share| (0.0..=1.0).contains(share))
                .ok_or("is not a number from 0 to 1 such as `0.1`")?;
        }
        Kind::Templates(_) | Kind::List { .. } => return Err("is not a list".into()),
    }
    Ok(())
}

/// Checks route templates: a path of literal segments and `{name}`, the last perhaps `{name*}`.
fn templates(items: &[String]) -> Result<Vec<String>, Refused> {
    if items.len() > TEMPLATES {
        return Err(format!("there are more than {TEMPLATES} templates").into());
    }
    for (index, template) in items.iter().enumerate() {
        if let Some(problem) = template_problem(template) {
            return Err(Refused {
                item: Some(index),
                reason: format!("`{}` {problem}", quote(template)),
            });
        }
    }
    Ok(items.to_vec())
}

/// What is wrong with a template, if anything.
fn template_problem(template: &str) -> Option<String> {
    let Some(path) = template.strip_prefix('/') else {
        return Some("does not begin with `/`".into());
    };
    if template.len() > TEMPLATE_BYTES {
        return Some(format!("is longer than {TEMPLATE_BYTES} bytes"));
    }
    if let Some(c) = template
        .chars()
        .find(|c| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#'))
    {
        return Some(format!("has {c:?} in it, which is never in a path"));
    }
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let Some(name) = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        else {
            if segment.contains(['{', '}']) {
                return Some("has a brace inside a segment; a parameter is a whole segment, as in `/orders/{id}`".into());
            }
            continue;
        };
        let (name, tail) = name
            .strip_suffix('*')
            .map_or((name, false), |name| (name, true));
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            return Some(
                "has a parameter without a proper name; names have letters, digits, `_`, `-`, `.`"
                    .into(),
            );
        }
        if tail && segments.peek().is_some() {
            return Some("has a `{…*}` that is not the last segment".into());
        }
    }
    None
}
