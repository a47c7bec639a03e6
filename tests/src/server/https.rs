//! Go's `net/http` over its own `crypto/tls`, at both ends, built in the ways that Go programs are
//! shipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{Server, build_go};
use crate::certificate::Certificate;
use crate::skip::Skip;
use crate::tools;

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As `go build` does it, with cgo.
    Plain,
    /// Without names and debug information.
    Stripped,
    /// Without cgo, so that it needs no library.
    Static,
    /// To be loaded anywhere, stripped.
    Anywhere,
    /// By the C compiler's linker, stripped.
    External,
}

impl Build {
    /// Its name, arguments of `go build`, and whether with cgo.
    const fn words(self) -> (&'static str, &'static [&'static str], bool) {
        match self {
            Self::Plain => ("https-plain", &[], true),
            Self::Stripped => ("https-stripped", &["-trimpath", "-ldflags=-s -w"], true),
            Self::Static => ("https-static", &[], false),
            Self::Anywhere => (
                "https-anywhere",
                &["-buildmode=pie", "-ldflags=-s -w"],
                false,
            ),
            Self::External => (
                "https-external",
                &["-ldflags=-s -w -linkmode=external"],
                true,
            ),
        }
    }
}

/// The program, built once: what is built anew is another file to the agent.
///
/// # Errors
/// There is no Go, or it does not build this way.
pub fn program(build: Build) -> Result<PathBuf, Skip> {
    static BUILT: Mutex<BTreeMap<&str, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let go = tools::find("go")?;
    let (name, words, cgo) = build.words();
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .entry(name)
        .or_insert_with(|| build_go(&go, "https", name, words, cgo))
        .clone()
        .map_err(Skip)
}

/// A running server.
///
/// # Errors
/// As for [`program`].
pub fn serve(build: Build, certificate: &Certificate) -> Result<Server, Skip> {
    let mut command = Command::new(program(build)?);
    command
        .arg("serve")
        .arg(&certificate.certificate)
        .arg(&certificate.key);
    Server::announced("tls-go-server", command)
}
