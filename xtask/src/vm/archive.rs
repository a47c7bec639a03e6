//! Debian's archive through apt, apart from this host's own configuration: the suites that have the
//! kernels are not those that the host runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Signs all suites; a part of every Debian, and a package of its derivatives.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A repository of Debian and a suite in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite {
    pub(super) repository: &'static str,
    pub(super) name: &'static str,
}

/// An apt of its own: package lists, cache and state in one folder.
pub(super) struct Archive(PathBuf);

impl Archive {
    /// Sets it up for these suites and fetches their lists.
    pub(super) fn open(folder: &Path, suites: &[Suite]) -> Result<Self> {
        anyhow::ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing; install debian-archive-keyring, or name a kernel by --kernel"
        );
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
        }
        let lists: String = suites
            .iter()
            .map(|suite| {
                format!(
                    "deb [arch=amd64 target=Packages signed-by={KEYRING}] {} {} main\n",
                    repository(suite.repository),
                    suite.name
                )
            })
            .collect();
        fs::write(folder.join("sources.list"), lists).context("cannot write sources.list")?;
        fs::write(folder.join("status"), "").context("cannot write apt's status")?;
        let archive = Self(folder.to_owned());
        process::output(
            archive
                .apt("apt-get")
                .args(["update", "-q", "--error-on=any"]),
        )?;
        Ok(archive)
    }

    /// The names of all packages that begin so.
    pub(super) fn names(&self, beginning: &str) -> Result<Vec<String>> {
        let names = process::output(self.apt("apt-cache").args(["pkgnames", beginning]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads a package and unpacks it into a folder, without installing it.
    pub(super) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let download = tempfile::tempdir_in(&self.0).context("cannot make a folder")?;
        process::output(
            self.apt("apt-get")
                .args(["download", "-q", package])
                .current_dir(download.path()),
        )?;
        for file in fs::read_dir(download.path()).context("cannot list the download")? {
            let file = file.context("cannot list the download")?.path();
            process::output(Command::new("dpkg-deb").arg("-x").args([&*file, into]))?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        let at = |part: &str| self.0.join(part).display().to_string();
        for (key, value) in [
            ("Dir::State", at("state")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Architectures", "amd64".to_owned()),
            // The user that apt would download as cannot write into our folder.
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Retries", "2".to_owned()),
            ("Acquire::http::Timeout", "30".to_owned()),
            ("Acquire::https::Timeout", "30".to_owned()),
        ] {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command
    }
}

/// Where a repository is: this host's own mirror if it is a Debian, else Debian's.
fn repository(name: &str) -> String {
    let known = process::output(
        Command::new("apt-get")
            .env("LC_ALL", "C")
            .args(["indextargets", "--format", "$(REPO_URI)"])
            .arg("Created-By: Packages"),
    );
    mirror(known.as_deref().unwrap_or_default(), name)
}

fn mirror(known: &str, name: &str) -> String {
    let of_host = known
        .lines()
        .find(|uri| uri.trim_end_matches('/').rsplit('/').next() == Some(name));
    of_host.map_or_else(
        || format!("http://deb.debian.org/{name}"),
        |uri| uri.trim_end_matches('/').to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::mirror;

    #[test]
    fn the_hosts_own_mirror_is_asked() {
        let known = "https://mirror.example/debian/\nhttps://mirror.example/debian-security/\n";
        assert_eq!(mirror(known, "debian"), "https://mirror.example/debian");
        assert_eq!(
            mirror(known, "debian-security"),
            "https://mirror.example/debian-security"
        );
        assert_eq!(
            mirror("http://archive.ubuntu.com/ubuntu/\n", "debian"),
            "http://deb.debian.org/debian"
        );
    }
}
