//! What hark is built from may be used: every dependency has a licence on the list, no requirement
//! is `*`, and no locked version has been yanked.
//!
//! Does what `cargo deny check licenses` and parts of its `bans` and `advisories` do, without a
//! binary to download.

mod yanked;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

use crate::process;
use crate::workspace::Workspace;

/// Licences that a dependency may be under, each with the reason why that is all right for a
/// program that is given away in binary form under Apache-2.0 or MIT.
const ALLOWED: &[(&str, &str)] = &[
    ("Apache-2.0", "our own"),
    ("BSD-3-Clause", "asks for its notice, forbids endorsement"),
    ("ISC", "asks for its notice"),
    ("MIT", "our own"),
    (
        "NCSA",
        "asks for its notice; libFuzzer, which is in no release",
    ),
    ("Unicode-3.0", "asks for its notice; tables of characters"),
    ("Zlib", "asks for nothing of binaries"),
];

/// Platforms that hark is built for; what only others need is in no binary of ours.
const PLATFORMS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
];

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    for platform in PLATFORMS {
        cargo.args(["--filter-platform", platform]);
    }
    let metadata: Value = serde_json::from_str(&process::output(&mut cargo)?)
        .context("cargo metadata printed no valid JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;

    let allowed = allowed()?;
    let mut faults = Vec::new();
    let mut by_licence: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages {
        if let Err(why) = licence_of(package, &allowed) {
            faults.push(format!("{}: {why}", id(package)));
        }
        *by_licence
            .entry(package["license"].as_str().unwrap_or("none"))
            .or_default() += 1;
        faults.extend(
            wildcards(package)
                .map(|name| format!("{}: requires any version of {name}", id(package))),
        );
    }
    let yanked = yanked::among(packages);
    faults.extend(
        yanked
            .yanked
            .iter()
            .map(|id| format!("{id}: this version was yanked; run `cargo update`")),
    );

    for (licence, count) in by_licence {
        println!("{count:4}  {licence}");
    }
    if yanked.unknown > 0 {
        println!(
            "{:4}  of {} packages are not in cargo's local index, so nothing is known of yanking",
            yanked.unknown,
            packages.len()
        );
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn allowed() -> Result<Vec<Licensee>> {
    ALLOWED
        .iter()
        .map(|(name, _reason)| {
            Licensee::parse(name).with_context(|| format!("{name} is no SPDX licence"))
        })
        .collect()
}

/// Whether a package's licence expression can be satisfied from the list.
fn licence_of(package: &Value, allowed: &[Licensee]) -> Result<(), String> {
    let Some(text) = package["license"].as_str() else {
        return Err(match package["license_file"].as_str() {
            Some(file) => format!("names no licence, only a file ({file}), which nobody has read"),
            None => "names no licence".to_owned(),
        });
    };
    // Old packages write `MIT/Apache-2.0`; cargo documents that as OR.
    let expression = Expression::parse_mode(text, ParseMode::LAX).map_err(|error| {
        format!(
            "its licence {text:?} is no SPDX expression: {}",
            error.reason
        )
    })?;
    expression
        .evaluate_with_failures(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
        .map_err(|failed| {
            let names: Vec<_> = failed.iter().map(|failed| failed.req.to_string()).collect();
            format!(
                "its licence {text:?} needs {}, which is not on the list",
                names.join(" or ")
            )
        })
}

/// Dependencies on a registry that would take any version.
fn wildcards(package: &Value) -> impl Iterator<Item = &str> {
    let ours = package["source"].is_null();
    let dependencies = package["dependencies"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    dependencies
        .iter()
        .filter(move |dependency| ours && dependency["req"] == "*" && dependency["path"].is_null())
        .filter_map(|dependency| dependency["name"].as_str())
}

fn id(package: &Value) -> String {
    let field = |key: &str| package[key].as_str().unwrap_or("?");
    format!("{} {}", field("name"), field("version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn licence(text: &str) -> Result<(), String> {
        licence_of(&json!({ "license": text }), &allowed().unwrap())
    }

    #[test]
    fn what_is_on_the_list_passes() {
        for text in [
            "MIT",
            "Apache-2.0 OR MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-2.0-only OR MIT",
        ] {
            assert_eq!(licence(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_not_on_the_list_fails_by_name() {
        assert_eq!(
            licence("GPL-3.0-only").unwrap_err(),
            r#"its licence "GPL-3.0-only" needs GPL-3.0-only, which is not on the list"#
        );
        assert_eq!(
            licence("MIT AND MPL-2.0").unwrap_err(),
            r#"its licence "MIT AND MPL-2.0" needs MPL-2.0, which is not on the list"#
        );
        assert_eq!(
            licence("LGPL-2.1-or-later OR MPL-2.0").unwrap_err(),
            "its licence \"LGPL-2.1-or-later OR MPL-2.0\" needs LGPL-2.1-or-later or MPL-2.0, \
             which is not on the list"
        );
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert_eq!(
            licence("Apache-2.0 WITH LLVM-exception").unwrap_err(),
            "its licence \"Apache-2.0 WITH LLVM-exception\" needs Apache-2.0 WITH LLVM-exception, \
             which is not on the list"
        );
        assert_eq!(licence("Apache-2.0 WITH LLVM-exception OR MIT"), Ok(()));
    }

    #[test]
    fn no_licence_or_an_unknown_one_fails() {
        let allowed = allowed().unwrap();
        assert_eq!(
            licence_of(&json!({}), &allowed).unwrap_err(),
            "names no licence"
        );
        assert_eq!(
            licence_of(&json!({ "license_file": "EULA" }), &allowed).unwrap_err(),
            "names no licence, only a file (EULA), which nobody has read"
        );
        for text in ["", "Proprietary", "MIT AND", "MIT OR OR ISC"] {
            assert!(licence(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_our_own_requirements_on_registries_must_not_be_wild() {
        let dependencies = json!([
            { "name": "any", "req": "*" },
            { "name": "some", "req": "^1" },
            { "name": "sibling", "req": "*", "path": "/x" },
        ]);
        let ours = json!({ "source": null, "dependencies": dependencies });
        assert_eq!(wildcards(&ours).collect::<Vec<_>>(), ["any"]);
        let theirs = json!({ "source": "registry+x", "dependencies": dependencies });
        assert_eq!(wildcards(&theirs).count(), 0);
    }
}
