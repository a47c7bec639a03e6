//! The configuration file: YAML to a flat list of keys with their values and places.
//!
//! The parser's events are read directly rather than through serde, because every key and value
//! needs its position, and every mistake in the file is to be reported at once. Of YAML it takes
//! what a configuration needs: one document of mappings, lists, and scalars. Anchors, aliases, and
//! tags are refused: nothing here needs them, and without them nothing can expand.

use std::path::Path;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, options};

use super::error::{ConfigError, ConfigErrors, Place, Problem, nearest, quote};
use super::key::{KEYS, Key};
use super::value::Raw;

/// How many errors are reported; a file that is no configuration at all has one per line.
const ERRORS: usize = 20;

/// A key that the file sets.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) raw: Raw,
    /// Where the value is.
    pub(super) at: At,
    /// Where the items of a list are.
    pub(super) items: Vec<At>,
}

/// A position, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<&Marker> for At {
    fn from(marker: &Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A YAML node.
enum Node {
    Null,
    Scalar(String),
    List(Vec<(Self, At)>),
    Map(Vec<(String, At, Self, At)>),
}

/// Reads the text of a file. Gives all keys that are well formed, and all errors found on the way;
/// a syntax error ends the reading.
pub(super) fn read(text: &str, file: &Path) -> (Vec<Entry>, Vec<ConfigError>) {
    // An editor on another system may put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        events: Parser::new_from_str_with_options(
            text,
            options! {
                emit_comments: false,
                flow_nesting_limit: 16,
                block_nesting_limit: 16,
            },
        ),
        errors: Vec::new(),
        entries: Vec::new(),
    };
    match reader.document() {
        Ok(Some((Node::Map(items), _))) => reader.section("", items),
        Ok(None | Some((Node::Null, _))) => {}
        Ok(Some((Node::Scalar(_) | Node::List(_), at))) => reader.fail(
            at,
            Problem::Syntax("the configuration is not a mapping of keys to values such as `listen: 127.0.0.1:9465`".into()),
        ),
        Err(error) => reader.errors.push(error),
    }
    (reader.entries, reader.errors)
}

struct Reader<'a, Events> {
    file: &'a Path,
    events: Events,
    errors: Vec<ConfigError>,
    entries: Vec<Entry>,
}

impl<'a, Events> Reader<'a, Events>
where
    Events: Iterator<Item = Result<(Event<'a>, serde_saphyr::granit_parser::Span), ScanError>>,
{
    fn error(&self, at: At, problem: Problem) -> ConfigError {
        ConfigError {
            place: Place::Position {
                file: self.file.to_path_buf(),
                line: at.line,
                column: at.column,
            },
            problem,
        }
    }

    fn fail(&mut self, at: At, problem: Problem) {
        let error = self.error(at, problem);
        self.errors.push(error);
    }

    /// Whether so much is wrong that more of it helps nobody.
    fn is_hopeless(&self) -> bool {
        self.errors.len() >= ERRORS
    }

    /// The next event that carries structure or a value; `None` at the end of the stream.
    fn next(&mut self) -> Result<Option<(Event<'a>, At)>, ConfigError> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, At::from(&span.start)))),
            Some(Err(error)) => {
                let at = At::from(error.marker());
                Err(self.error(
                    at,
                    Problem::Syntax(format!("not valid YAML: {}", error.info())),
                ))
            }
        }
    }

    /// Reads the only document.
    fn document(&mut self) -> Result<Option<(Node, At)>, ConfigError> {
        let mut root = None;
        while let Some((event, at)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    if let Some((event, at)) = self.next()? {
                        root = Some((self.node(event, at)?, at));
                    }
                }
                _ => {
                    return Err(self.error(
                        at,
                        Problem::Syntax(
                            "a second YAML document begins here; a configuration is one document"
                                .into(),
                        ),
                    ));
                }
            }
        }
        Ok(root)
    }

    /// Reads the node that begins with `event`. The parser bounds the depth.
    fn node(&mut self, event: Event<'a>, at: At) -> Result<Node, ConfigError> {
        let unsupported = |reader: &Self, what: &str| {
            Err(reader.error(
                at,
                Problem::Syntax(format!("{what} are not supported in a configuration")),
            ))
        };
        if event.tag().is_some() {
            return unsupported(self, "YAML tags");
        }
        match event {
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(_, anchor, _)
            | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                unsupported(self, "YAML anchors")
            }
            Event::Scalar(text, ScalarStyle::Plain, ..)
                if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                Ok(Node::Null)
            }
            Event::Scalar(text, ..) => Ok(Node::Scalar(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some((event, at)) = self.next()? {
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push((self.node(event, at)?, at));
                }
                Ok(Node::List(items))
            }
            Event::MappingStart(..) => {
                let mut items: Vec<(String, At, Node, At)> = Vec::new();
                while let Some((event, at)) = self.next()? {
                    if event == Event::MappingEnd {
                        break;
                    }
                    let Event::Scalar(key, ..) = event else {
                        return Err(
                            self.error(at, Problem::Syntax("a key must be a plain word".into()))
                        );
                    };
                    let key = key.into_owned();
                    let Some((event, value_at)) = self.next()? else {
                        break;
                    };
                    let value = self.node(event, value_at)?;
                    items.push((key, at, value, value_at));
                }
                Ok(Node::Map(items))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => unsupported(self, "YAML aliases"),
            // The parser yields nothing else where a node is due.
            _ => Err(self.error(at, Problem::Syntax("a value is missing here".into()))),
        }
    }

    /// Takes the keys of one section; `prefix` is its name with the dot.
    fn section(&mut self, prefix: &str, items: Vec<(String, At, Node, At)>) {
        let mut seen: Vec<(String, At)> = Vec::new();
        for (word, key_at, value, value_at) in items {
            if self.is_hopeless() {
                return;
            }
            let name = format!("{prefix}{word}");
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
                let problem = Problem::Duplicate {
                    key: quote(&name),
                    line: first.line,
                };
                self.fail(key_at, problem);
                continue;
            }
            // A known name is remembered, an unknown one is an error already: the list stays short.
            if !word.contains('.')
                && let Some(key) = Key::find(&name)
            {
                // What is not there has no place of its own.
                let at = if matches!(value, Node::Null) {
                    key_at
                } else {
                    value_at
                };
                self.value(key, value, at);
                seen.push((name, key_at));
            } else if !word.contains('.') && is_section(&name) {
                match value {
                    Node::Map(items) => self.section(&format!("{name}."), items),
                    Node::Null => {}
                    Node::Scalar(_) | Node::List(_) => self.fail(
                        value_at,
                        Problem::Value {
                            reason: format!(
                                "this is a section, with the keys {}",
                                keys_in(&format!("{name}."))
                            ),
                            key: name.clone(),
                        },
                    ),
                }
                seen.push((name, key_at));
            } else {
                let hint = hint(&name, prefix);
                self.fail(
                    key_at,
                    Problem::Unknown {
                        what: "key",
                        name: quote(&name),
                        hint,
                    },
                );
            }
        }
    }

    /// Takes the value of a known key.
    fn value(&mut self, key: &'static Key, value: Node, at: At) {
        let mut places = Vec::new();
        let raw = match value {
            Node::Scalar(text) => Ok(Raw::Text(text)),
            Node::List(items) => items
                .into_iter()
                .map(|(item, at)| match item {
                    Node::Scalar(text) => {
                        places.push(at);
                        Ok(text)
                    }
                    Node::Null | Node::List(_) | Node::Map(_) => {
                        Err((at, "every item of the list must be text; put it in quotes"))
                    }
                })
                .collect::<Result<_, _>>()
                .map(Raw::List),
            Node::Null => Err((
                at,
                "there is no value; write one, or remove the key for its default",
            )),
            Node::Map(_) => Err((at, "this is a key with a value, not a section")),
        };
        match raw {
            Ok(raw) => self.entries.push(Entry {
                key,
                raw,
                at,
                items: places,
            }),
            Err((at, reason)) => self.fail(
                at,
                Problem::Value {
                    key: key.name.into(),
                    reason: reason.into(),
                },
            ),
        }
    }
}

/// Whether keys begin with this name and a dot.
fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| {
        key.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The names that can stand in a section, each once, in the table's order.
fn names_in(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS {
        if let Some(rest) = key.name.strip_prefix(prefix) {
            let end = rest
                .find('.')
                .map_or(key.name.len(), |dot| prefix.len() + dot);
            let name = &key.name[..end];
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn keys_in(prefix: &str) -> String {
    let names: Vec<String> = names_in(prefix)
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    names.join(", ")
}

/// What to propose for an unknown name in a section.
fn hint(name: &str, prefix: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    if let Some(key) = Key::find(name)
        && let Some((section, word)) = key.name.split_once('.')
    {
        return format!("write it as `{word}` in the section `{section}`");
    }
    let elsewhere = || {
        KEYS.iter()
            .map(|key| key.name)
            .find(|other| other.rsplit('.').next() == Some(last))
    };
    nearest(name, names_in(prefix))
        .or_else(elsewhere)
        .or_else(|| nearest(name, KEYS.iter().map(|key| key.name)))
        .map_or_else(
            || format!("the keys here are {}", keys_in(prefix)),
            |near| format!("did you mean `{near}`?"),
        )
}

/// Reads a whole file of text; see [`read`].
pub(super) fn read_bytes(
    bytes: &[u8],
    file: &Path,
) -> Result<(Vec<Entry>, Vec<ConfigError>), ConfigErrors> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(read(text, file)),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let last = before
                .rsplit(|byte| *byte == b'\n')
                .next()
                .unwrap_or(before);
            let column = String::from_utf8_lossy(last).chars().count() + 1;
            Err(ConfigError {
                place: Place::Position {
                    file: file.to_path_buf(),
                    line,
                    column,
                },
                problem: Problem::NotUtf8,
            }
            .into())
        }
    }
}
