//! The request log that the agent writes here.

use std::path::Path;

use serde::de::DeserializeOwned;

/// Where it is to write what it hears.
pub(crate) const PATH: &str = "/tmp/requests.log";

/// All whole lines, or what is wanted of them.
pub(crate) fn lines<T: DeserializeOwned>() -> Vec<T> {
    let text = std::fs::read_to_string(Path::new(PATH)).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}
