//! Titles: what programs write over their own command line, where it says more than the
//! executable does.

use super::names::{self, Place};
use super::tables::{TITLES, Take};

/// The name that a title gives; `None` for a title that says nothing of the service.
pub(super) fn name(title: &str, place: Place<'_>) -> Option<String> {
    let (take, rest) = TITLES
        .iter()
        .find_map(|(prefix, take)| Some((*take, title.strip_prefix(prefix)?)))?;
    match take {
        Take::Fixed(name) => Some(name.to_owned()),
        Take::Brackets => {
            let (before, inside) = rest.rsplit_once('[')?;
            let inside = inside.strip_suffix(']').unwrap_or(inside);
            // `worker[0]`, `[3 of 5 busy]` are counts.
            if inside.starts_with(|c: char| c.is_ascii_digit()) || before.is_empty() {
                return place.directory();
            }
            names::app(inside, place)
        }
        Take::Word(number) => rest
            .split_whitespace()
            .nth(number)
            .filter(|word| !word.starts_with(['[', '(']))
            .map(str::to_owned)
            .or_else(|| place.directory()),
        Take::Pool => match rest.trim() {
            "www" => Some("php-fpm".to_owned()),
            pool => Some(pool.to_owned()),
        },
        Take::Path => {
            let path = rest.split(" (").next()?.trim();
            Place { cwd: Some(path) }.directory()
        }
        Take::AppOption => {
            let mut words = rest.split_whitespace();
            words.find(|w| matches!(*w, "-A" | "--app"))?;
            names::app(words.next()?.trim_end_matches(')'), place)
        }
        Take::Directory => place.directory(),
    }
}
