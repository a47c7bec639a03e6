//! `hark config print`: the effective configuration as YAML that can be read again.

use std::fmt::Write as _;

use super::key::{KEYS, Key};
use super::load::{Loaded, Origin};
use super::value::Raw;

/// Writes every key with its value, and where the value is from as a comment.
#[must_use]
pub fn print(loaded: &Loaded) -> String {
    let mut page = String::new();
    let mut section = "";
    for (key, origin) in KEYS.iter().zip(&loaded.origins) {
        let (own_section, word) = key.name.split_once('.').unwrap_or(("", key.name));
        if own_section != section {
            let _ = writeln!(page, "{own_section}:");
            section = own_section;
        }
        let indent = if section.is_empty() { "" } else { "  " };
        let from = origin_text(key, origin);
        match key.get(&loaded.config) {
            Raw::Text(text) => {
                let _ = writeln!(page, "{indent}{word}: {}  # {from}", scalar(&text));
            }
            Raw::List(items) if items.is_empty() => {
                let _ = writeln!(page, "{indent}{word}: []  # {from}");
            }
            Raw::List(items) => {
                let _ = writeln!(page, "{indent}{word}:  # {from}");
                for item in items {
                    let _ = writeln!(page, "{indent}  - {}", scalar(&item));
                }
            }
        }
    }
    page
}

fn origin_text(key: &Key, origin: &Origin) -> String {
    match origin {
        Origin::Default => format!("default; {}", key.variable()),
        // A file name may hold a line break, which would end the comment.
        Origin::File { file, line } => {
            format!(
                "{}:{line}",
                super::error::quote(&file.display().to_string())
            )
        }
        Origin::Variable(name) => format!("environment {name}"),
    }
}

/// A scalar, plain where that is safe and in single quotes otherwise.
fn scalar(text: &str) -> String {
    let plain = text.chars().all(|c| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | ':' | '_' | '-' | '{' | '}' | '*')
    }) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !text.ends_with(':')
        && !matches!(text, "null" | "Null" | "NULL");
    if plain {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        // JSON strings are YAML double-quoted scalars.
        serde_json::Value::from(text).to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
