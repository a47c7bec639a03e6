//! A certificate of our own, for servers that speak TLS.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::skip::Skip;
use crate::tools;

/// A certificate for `localhost` and its key, as files.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    _folder: TempDir,
}

impl Certificate {
    /// Makes one.
    ///
    /// # Errors
    /// There is no `openssl`.
    ///
    /// # Panics
    /// If it fails.
    pub fn make() -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("openssl")?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (certificate, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        command
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
            .args(["-subj", "/CN=localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        let _ = Process::run(command, Duration::from_secs(60));
        // Servers may drop root before they read them.
        for path in [&certificate, &key, &folder.path().to_owned()] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path, mode).expect("our own file");
        }
        Ok(Self {
            certificate,
            key,
            _folder: folder,
        })
    }
}
