//! Templates such as `/orders/{id}` and `/static/{rest*}`.

use std::sync::Arc;

/// Longest template, in bytes: it becomes a label value.
const LONGEST: usize = 256;

/// A template that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No leading slash.
    #[error("route template {template:?} does not begin with a slash; write \"/{template}\"")]
    NoSlash {
        /// The template.
        template: String,
    },
    /// Longer than a label value may be.
    #[error("route template {template:?} is longer than {LONGEST} bytes; shorten it")]
    TooLong {
        /// The template.
        template: String,
    },
    /// Two slashes in a row, or a slash at the end.
    #[error(
        "route template {template:?} has an empty segment; paths are compared without repeated and trailing slashes, so remove it"
    )]
    EmptySegment {
        /// The template.
        template: String,
    },
    /// Braces that do not enclose a whole segment, or a name that is none.
    #[error(
        "route template {template:?}: {segment:?} is neither plain text nor a whole placeholder such as {{id}} or {{rest*}}"
    )]
    Placeholder {
        /// The template.
        template: String,
        /// The segment at fault.
        segment: String,
    },
    /// A wildcard before the end.
    #[error(
        "route template {template:?}: {segment:?} takes the rest of the path, so it must be last"
    )]
    WildcardNotLast {
        /// The template.
        template: String,
        /// The segment at fault.
        segment: String,
    },
    /// Written twice: the second would never match.
    #[error("route template {template:?} is there twice; remove one")]
    Twice {
        /// The template.
        template: String,
    },
}

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    route: Arc<str>,
    segments: Vec<Segment>,
    wildcard: bool,
}

#[derive(Debug)]
enum Segment {
    Literal(Box<str>),
    Any,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        let template = || text.to_owned();
        let Some(rest) = text.strip_prefix('/') else {
            return Err(RouteError::NoSlash {
                template: template(),
            });
        };
        if text.len() > LONGEST {
            return Err(RouteError::TooLong {
                template: template(),
            });
        }
        let mut parsed = Self {
            route: text.into(),
            segments: Vec::new(),
            wildcard: false,
        };
        if rest.is_empty() {
            return Ok(parsed);
        }
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() {
                return Err(RouteError::EmptySegment {
                    template: template(),
                });
            }
            if !segment.contains(['{', '}']) {
                parsed.segments.push(Segment::Literal(segment.into()));
                continue;
            }
            let name = segment
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'));
            let wildcard = name.is_some_and(|name| name.ends_with('*'));
            let valid = name.is_some_and(|name| {
                let name = name.strip_suffix('*').unwrap_or(name);
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            if !valid {
                return Err(RouteError::Placeholder {
                    template: template(),
                    segment: segment.into(),
                });
            }
            if wildcard && segments.peek().is_some() {
                return Err(RouteError::WildcardNotLast {
                    template: template(),
                    segment: segment.into(),
                });
            }
            // A wildcard takes one segment or more.
            parsed.segments.push(Segment::Any);
            parsed.wildcard |= wildcard;
        }
        Ok(parsed)
    }

    /// The template as written: the value of `http.route`.
    pub(super) const fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Whether a path is one of this template's. Of a truncated path only what comes before its
    /// last slash is known, and that more follows: nothing but a wildcard can take that.
    pub(super) fn matches(&self, path: &str, truncated: bool) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let known = match (truncated, path.rsplit_once('/')) {
            (false, _) => path,
            (true, Some((known, _))) => known,
            (true, None) => "",
        };
        let mut given = known.split('/').filter(|segment| !segment.is_empty());
        let fixed = self.segments.len() - usize::from(self.wildcard);
        for segment in &self.segments[..fixed] {
            let Some(given) = given.next() else {
                return false;
            };
            match segment {
                Segment::Literal(literal) if **literal != *given => return false,
                Segment::Literal(_) | Segment::Any => {}
            }
        }
        if self.wildcard {
            truncated || given.next().is_some()
        } else {
            !truncated && given.next().is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, path: &str) -> bool {
        Template::parse(template).unwrap().matches(path, false)
    }

    #[test]
    fn literals_and_placeholders_match_whole_segments() {
        assert!(matches("/", "/"));
        assert!(!matches("/", "/a"));
        assert!(matches("/orders/{id}", "/orders/17"));
        assert!(matches("/orders/{id}", "//orders/17/"));
        assert!(!matches("/orders/{id}", "/orders"));
        assert!(!matches("/orders/{id}", "/orders/17/items"));
        assert!(!matches("/orders/{id}", "/order/17"));
        assert!(!matches("/orders", "orders"));
        assert!(!matches("/orders", "*"));
        assert!(!matches("/", ""));
    }

    #[test]
    fn a_wildcard_takes_one_segment_or_more() {
        assert!(matches("/static/{rest*}", "/static/a"));
        assert!(matches("/static/{rest*}", "/static/a/b/c.js"));
        assert!(!matches("/static/{rest*}", "/static"));
        assert!(!matches("/static/{rest*}", "/statics/a"));
        assert!(matches("/{all*}", "/x"));
        assert!(!matches("/{all*}", "/"));
    }

    #[test]
    fn the_last_segment_of_a_truncated_path_is_not_known() {
        let template = Template::parse("/orders/{id}").unwrap();
        assert!(!template.matches("/orders/17", true));
        let template = Template::parse("/orders").unwrap();
        assert!(!template.matches("/orders", true));
        let template = Template::parse("/static/{rest*}").unwrap();
        assert!(template.matches("/static/a/b", true));
        assert!(template.matches("/static/", true));
        assert!(!template.matches("/static", true), "could be /statics");
    }

    #[test]
    fn what_is_not_a_template_is_refused_with_the_reason() {
        let error = |text: &str| Template::parse(text).unwrap_err();
        let template = |text: &str| text.to_owned();
        assert_eq!(
            error("orders"),
            RouteError::NoSlash {
                template: template("orders")
            }
        );
        assert_eq!(
            error(""),
            RouteError::NoSlash {
                template: template("")
            }
        );
        for text in ["//", "/a//b", "/a/"] {
            assert_eq!(
                error(text),
                RouteError::EmptySegment {
                    template: template(text)
                }
            );
        }
        for (text, segment) in [
            ("/a/{id", "{id"),
            ("/a/id}", "id}"),
            ("/a/{}", "{}"),
            ("/a/{*}", "{*}"),
            ("/a/x{id}", "x{id}"),
            ("/a/{i-d}", "{i-d}"),
            ("/a/{id}{id}", "{id}{id}"),
        ] {
            assert_eq!(
                error(text),
                RouteError::Placeholder {
                    template: template(text),
                    segment: segment.into()
                }
            );
        }
        assert_eq!(
            error("/{rest*}/a"),
            RouteError::WildcardNotLast {
                template: template("/{rest*}/a"),
                segment: "{rest*}".into()
            }
        );
        let long = format!("/{}", "a".repeat(256));
        assert_eq!(error(&long), RouteError::TooLong { template: long });
    }
}
