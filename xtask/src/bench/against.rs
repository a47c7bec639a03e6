//! Another revision of hark, built and measured beside this one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::figure::Figure;
use super::stats::{median, spread};
use super::{Revision, user_space};
use crate::process;
use crate::table;
use crate::workspace::Workspace;

/// Another revision, built.
pub(super) struct Other {
    /// Its short hash.
    pub(super) name: String,
    /// What is measured of it.
    pub(super) built: Revision,
}

/// Builds a revision in a folder of its own below the target folder, where the next run finds it; with
/// what measures its user space, if that is wanted.
pub(super) fn build(workspace: &Workspace, revision: &str, user_space: bool) -> Result<Other> {
    let name = process::output(git(workspace).args([
        "rev-parse",
        "--verify",
        "--short",
        &format!("{revision}^{{commit}}"),
    ]))
    .with_context(|| format!("`{revision}` is no revision of this repository"))?;
    let name = name.trim().to_owned();
    let folder = workspace.target.join("against").join(&name);
    let target = folder.join("target");
    let release = target.join("release");
    let agent = release.join("hark");
    let cargo = || {
        let mut cargo = workspace.cargo();
        cargo.current_dir(&folder).env("CARGO_TARGET_DIR", &target);
        cargo
    };
    if !agent.is_file() {
        process::step(&format!("hark of {name}"));
        unpack(workspace, &name, &folder)?;
        // The linker is built once for all.
        fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
        let (ours, its) = (workspace.target.join("toolchain"), target.join("toolchain"));
        if ours.is_dir() && !its.exists() {
            std::os::unix::fs::symlink(&ours, &its).context("cannot make a link")?;
        }
        process::run(cargo().args(["xtask", "build", "--release"]))
            .with_context(|| format!("cannot build hark of {name}"))?;
    }
    ensure!(agent.is_file(), "{} was not built", agent.display());
    let user_space = if user_space {
        Some(user_space::build_by(cargo(), &release)?)
    } else {
        None
    };
    Ok(Other {
        name,
        built: Revision { agent, user_space },
    })
}

fn git(workspace: &Workspace) -> Command {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root);
    git
}

/// The files of a revision. No worktree, which the repository would have to be told to forget.
fn unpack(workspace: &Workspace, revision: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut archive = git(workspace)
        .args(["archive", "--format=tar", revision])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start git")?;
    let stream = archive.stdout.take().context("git has no output")?;
    let unpacked = process::run(
        Command::new("tar")
            .arg("-x")
            .arg("-C")
            .arg(folder)
            .stdin(stream),
    );
    let status = archive.wait().context("cannot wait for git")?;
    ensure!(status.success(), "git archive: {status}");
    unpacked
}

/// Adds what one more repetition gave.
pub(super) fn merge(to: &mut Vec<Figure>, more: Vec<Figure>) {
    for figure in more {
        match to.iter_mut().find(|known| known.name == figure.name) {
            Some(known) => known.values.extend(figure.values),
            None => to.push(figure),
        }
    }
}

/// Whether every value of one is above every value of the other: with five of each, by chance in less
/// than one of a hundred figures.
fn apart(these: &[f64], others: &[f64]) -> &'static str {
    if these.len().min(others.len()) < 2 {
        return "";
    }
    match spread(these).zip(spread(others)) {
        Some(((low, _), (_, high))) if low > high => "MORE",
        Some(((_, high), (low, _))) if high < low => "LESS",
        _ => "",
    }
}

/// Medians of this tree and of the other revision, and how they compare.
pub(super) fn table(these: &[Figure], others: &[Figure], name: &str) -> String {
    let rows: Vec<_> = these
        .iter()
        .map(|this| {
            let other = others.iter().find(|other| other.name == this.name);
            let (now, then) = (median(&this.values), other.and_then(|o| median(&o.values)));
            let shown =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), super::figure::plain);
            let ratio = now
                .zip(then)
                .filter(|(_, then)| *then != 0.0)
                .map(|(now, then)| now / then);
            [
                this.name.clone(),
                this.unit.to_owned(),
                shown(now),
                shown(then),
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
                other
                    .map_or("", |other| apart(&this.values, &other.values))
                    .to_owned(),
            ]
        })
        .collect();
    table::render(["measured", "unit", "this tree", name, "ratio", ""], &rows)
}

#[cfg(test)]
mod tests {
    use super::super::figure::Budget;
    use super::*;

    fn figure(name: &str, values: &[f64]) -> Figure {
        Figure::new(name, "ns", Budget::None).with(values.iter().copied())
    }

    #[test]
    fn repetitions_are_put_together_by_name() {
        let mut all = vec![figure("a", &[1.0])];
        merge(&mut all, vec![figure("b", &[5.0]), figure("a", &[3.0])]);
        assert_eq!(all, [figure("a", &[1.0, 3.0]), figure("b", &[5.0])]);
    }

    #[test]
    fn values_that_do_not_overlap_are_apart() {
        assert_eq!(apart(&[5.0, 6.0], &[3.0, 4.0]), "MORE");
        assert_eq!(apart(&[3.0, 4.0], &[5.0, 6.0]), "LESS");
        assert_eq!(apart(&[3.0, 6.0], &[4.0, 5.0]), "");
        assert_eq!(apart(&[9.0], &[1.0]), "", "one value says nothing");
        assert_eq!(apart(&[], &[]), "");
    }

    #[test]
    fn what_only_one_has_is_shown_without_a_ratio() {
        let these = [figure("a", &[2.0, 4.0, 3.0]), figure("new", &[1.0])];
        let others = [figure("a", &[6.0]), figure("gone", &[1.0])];
        let text = table(&these, &others, "abc123");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert!(
            lines.contains(&vec!["a", "ns", "3", "6", "0.500"]),
            "{text}"
        );
        assert!(lines.contains(&vec!["new", "ns", "1", "-", "-"]), "{text}");
    }
}
