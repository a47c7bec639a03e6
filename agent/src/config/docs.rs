//! `docs/configuration.md`, made from the table of keys.

use std::fmt::Write as _;

use super::Config;
use super::environment::RESERVED;
use super::key::{KEYS, Key};
use super::value::Raw;

/// The command that writes the generated pages anew.
pub const REGENERATE: &str = "HARK_REGENERATE=1 cargo test -p hark docs";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = format!(
        "<!-- Generated from the table of keys in agent/src/config/key.rs by `{REGENERATE}`. -->\n\
         \n\
         # Configuration\n\
         \n\
         Everything has a default; an empty configuration is a good one. What is set is read from\n\
         a YAML file (`hark run --config hark.yaml`, or the variable `HARK_CONFIG`) and from the\n\
         environment, which wins over the file. A key that does not exist, or a value that is not\n\
         valid, stops the start and says where it is.\n\
         \n\
         `hark config check FILE` checks a file. `hark config print` prints what is in effect, and\n\
         where each value is from.\n\
         \n\
         Sizes are whole numbers with `B`, `KiB`, `MiB` or `GiB`; durations are whole numbers with\n\
         `ns`, `us`, `ms`, `s`, `m`, `h` or `d`, also combined (`1h30m`). The file is one YAML\n\
         document without anchors and tags.\n\
         \n\
         Spans are sent when the standard variables of OpenTelemetry name an endpoint\n\
         (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and those that\n\
         belong to them); they are not part of the file. Files with certificates are read again when\n\
         they are replaced. A batch is dropped, and counted, when the collector has not taken it\n\
         after `OTEL_BSP_EXPORT_TIMEOUT`, or when it is five minutes old.\n"
    );
    for key in KEYS {
        key_section(&mut page, key);
    }
    page.push_str(
        "\n## An example\n\n```yaml\nlisten: 0.0.0.0:9465\nlog:\n  format: json\nroutes:\n  \
         templates:\n    - /orders/{id}\n    - /static/{rest*}\n  max_per_service: 50\nmetrics:\n  \
         expire_after: 10m\n```\n\n## Other variables\n\n",
    );
    for reserved in RESERVED {
        let _ = writeln!(page, "- `{}`: {}", reserved.name, reserved.about);
    }
    page.push_str(
        "\nAny other variable whose name begins with `HARK_` stops the start, except for those\n\
         that Kubernetes sets for a Service named `hark` (`HARK_SERVICE_HOST`,\n\
         `HARK_PORT_9465_TCP` and so on), which are ignored.\n",
    );
    page
}

fn key_section(page: &mut String, key: &Key) {
    let default = match key.get(&Config::default()) {
        Raw::Text(text) => format!("`{text}`"),
        Raw::List(items) if items.is_empty() => "none".into(),
        Raw::List(items) => format!("`{}`", items.join("`, `")),
    };
    let _ = write!(
        page,
        "\n## `{}`\n\n{}\n\n| | |\n|---|---|\n| Value | {} |\n| Default | {default} |\n| \
         Variable | `{}` |\n",
        key.name,
        key.about,
        key.values(),
        key.variable()
    );
}

/// Compares a generated page with the file under `docs/`, or writes the file if it is to be
/// regenerated.
#[cfg(test)]
pub(crate) fn assert_current(file: &str, page: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(file);
    if std::env::var_os("HARK_REGENERATE").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/{file} is stale; run `{REGENERATE}` and commit the result"
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn docs_configuration_is_current() {
        super::assert_current("configuration.md", &super::page());
    }

    /// The example in the page is a configuration.
    #[test]
    fn docs_example_is_valid() {
        let page = super::page();
        let example = page
            .split_once("```yaml\n")
            .and_then(|(_, rest)| rest.split_once("```"))
            .unwrap()
            .0;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hark.yaml");
        std::fs::write(&file, example).unwrap();
        let config = crate::config::check(&file).unwrap().config;
        assert_eq!(config.routes.templates, ["/orders/{id}", "/static/{rest*}"]);
        assert_eq!(config.routes.max_per_service, 50);
    }
}
