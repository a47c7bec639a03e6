//! Turns a path, a jar, a class, a module into the name that a person would use.

use super::tables::{
    ARTEFACT_WORDS, GENERIC_CLASSES, GENERIC_DIRECTORIES, GENERIC_EXECUTABLES, GENERIC_JARS,
    GENERIC_MODULES, GENERIC_STEMS, KNOWN_CLASSES, PRERELEASE_WORDS, SCRIPT_EXTENSIONS,
    VERSION_WORDS,
};

/// How many directories are climbed in search of one whose name says something.
const MAX_CLIMB: usize = 6;

/// Where relative paths begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    /// The working directory, if it is known.
    pub(super) cwd: Option<&'a str>,
}

impl Place<'_> {
    /// `path` from here, without `.` and `..`.
    pub(super) fn resolve(self, path: &str) -> String {
        let whole = match self.cwd {
            Some(cwd) if !path.starts_with('/') => format!("{cwd}/{path}"),
            _ => path.to_owned(),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let root = if whole.starts_with('/') { "/" } else { "" };
        format!("{root}{}", parts.join("/"))
    }

    /// The name of the working directory, or of the nearest above it that says something.
    pub(super) fn directory(self) -> Option<String> {
        telling(&self.resolve("."))
    }

    /// The same for the directory that holds `path`.
    pub(super) fn directory_of(self, path: &str) -> Option<String> {
        let resolved = self.resolve(path);
        let (parent, _) = resolved.rsplit_once('/')?;
        telling(parent)
    }
}

/// The last part of a directory's path that is more than a place where programs are put.
fn telling(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    for (at, part) in parts.iter().enumerate().rev().take(MAX_CLIMB) {
        // Somebody's home is named for the somebody.
        let home = at == 1 && path.starts_with('/') && matches!(parts[0], "home" | "Users");
        let number = part.bytes().all(|b| b.is_ascii_digit());
        let plain = part.to_ascii_lowercase();
        if !home && !number && !GENERIC_DIRECTORIES.contains(&plain.as_str()) {
            return Some((*part).to_owned());
        }
    }
    None
}

/// The last part of a path; `None` if there is none.
pub(super) fn base(path: &str) -> Option<&str> {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .filter(|base| !base.is_empty() && !matches!(*base, "." | ".."))
}

/// Base name without the extension of a script.
pub(super) fn stem(path: &str) -> &str {
    let base = base(path).unwrap_or(path);
    match base.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && SCRIPT_EXTENSIONS.contains(&extension) => {
            stem
        }
        _ => base,
    }
}

/// NixOS starts `.name-wrapped` by a script called `name`.
pub(super) fn unwrapped(base: &str) -> &str {
    base.strip_prefix('.')
        .and_then(|b| b.strip_suffix("-wrapped"))
        .filter(|b| !b.is_empty())
        .unwrap_or(base)
}

/// `python3.11` without what only says which build: `python3`.
pub(super) fn without_minor(base: &str) -> &str {
    match base.split_once('.') {
        Some((name, rest))
            if !name.is_empty()
                && !rest.is_empty()
                && rest
                    .split('.')
                    .all(|part| part.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            name
        }
        _ => base,
    }
}

/// A native executable: its own name, or its directory's if it is only called `main`.
pub(super) fn executable(base: &str, args: &[&str], place: Place<'_>) -> String {
    if GENERIC_EXECUTABLES.contains(&base)
        && let Some(path) = args.first().filter(|path| path.contains('/'))
        && let Some(directory) = place.directory_of(path)
    {
        return directory;
    }
    base.to_owned()
}

/// A script, by its path or address.
pub(super) fn script(path: &str, place: Place<'_>) -> Option<String> {
    // An open file has a number, no name: `bash <(…)`, `python3 /proc/self/fd/3`.
    if path.starts_with("/dev/") || path.starts_with("/proc/") {
        return None;
    }
    // `npm:cowsay@1`, `jsr:@std/http/file-server` (Deno).
    if let Some(package) = path
        .strip_prefix("npm:")
        .or_else(|| path.strip_prefix("jsr:"))
    {
        return package_name(package);
    }
    let address = path.starts_with("https://") || path.starts_with("http://");
    let path = if address {
        path.split(['?', '#']).next().unwrap_or(path)
    } else {
        path
    };
    // A tool that was installed for a project is the project's; one that was installed for the
    // host has its own name.
    if let Some((project, tool)) = path.split_once("node_modules/") {
        let tool = tool.strip_prefix(".bin/").unwrap_or(tool);
        return place
            .directory_of(&format!("{project}x"))
            .or_else(|| package_name(tool));
    }
    if base(path).is_none() {
        // `node .`, `python3 ..`
        return telling(&place.resolve(path));
    }
    let stem = stem(path);
    if GENERIC_STEMS.contains(&stem)
        && !address
        && let Some(directory) = place.directory_of(path)
    {
        return Some(directory);
    }
    Some(stem.to_owned())
}

/// `cowsay@1/bin` → `cowsay`, `@std/http` → `http`.
fn package_name(package: &str) -> Option<String> {
    let mut parts = package.split('/');
    let first = parts.next()?;
    let name = if first.starts_with('@') {
        parts.next()?
    } else {
        first
    };
    name.split('@')
        .next()
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
}

/// A Python module that is run: `shop.web`, without `__main__`.
pub(super) fn module(module: &str) -> Option<String> {
    let module = module.strip_suffix(".__main__").unwrap_or(module);
    (!module.is_empty()).then(|| module.to_owned())
}

/// An application: `shop.wsgi:app` → `shop`; `main:app` → the directory; also a path.
pub(super) fn app(spec: &str, place: Place<'_>) -> Option<String> {
    if spec.contains('/') || spec.ends_with(".py") {
        let path = spec.split(':').next()?;
        return script(path, place);
    }
    let module = spec.split([':', '(']).next()?.trim();
    let parts: Vec<&str> = module.split('.').filter(|p| !p.is_empty()).collect();
    let telling = parts
        .iter()
        .rposition(|part| !GENERIC_MODULES.contains(part))
        .map(|last| parts[..=last].join("."));
    telling
        .or_else(|| place.directory())
        .or_else(|| (!module.is_empty()).then(|| module.to_owned()))
}

/// A .NET assembly or project: `Shop.Orders.dll` → `Shop.Orders`.
pub(super) fn assembly(path: &str, place: Place<'_>) -> Option<String> {
    let Some(base) = base(path) else {
        return telling(&place.resolve(path));
    };
    let stem = [".dll", ".exe", ".csproj", ".fsproj", ".vbproj"]
        .iter()
        .find_map(|extension| base.strip_suffix(extension));
    Some(stem.unwrap_or(base).to_owned())
}

/// A jar: `/opt/orders-1.2.3-SNAPSHOT.jar` → `orders`; `app.jar` → its directory.
pub(super) fn jar(path: &str, place: Place<'_>) -> Option<String> {
    let base = base(path)?;
    let stem = [".jar", ".war", ".ear"]
        .iter()
        .find_map(|extension| base.strip_suffix(extension))
        .unwrap_or(base);
    let name = without_version(stem);
    if GENERIC_JARS.contains(&name)
        && let Some(directory) = place.directory_of(path)
    {
        return Some(directory);
    }
    Some(name.to_owned())
}

/// Drops from the end what build tools add to a name: `-1.2.3`, `-SNAPSHOT`, `-1.0-exec`. The
/// first part always stays, and so does a word that may as well be part of the name
/// (`task-runner`) if no version stands before it.
fn without_version(stem: &str) -> &str {
    let stem = stem.strip_suffix("-jar-with-dependencies").unwrap_or(stem);
    let is = |part: &str, words: &[&str]| words.contains(&part.to_ascii_lowercase().as_str());
    let drop_while = |mut name: &'_ str, drop: &dyn Fn(&str) -> bool| -> usize {
        while let Some((before, last)) = name.rsplit_once('-') {
            if before.is_empty() || !drop(last) {
                break;
            }
            name = before;
        }
        name.len()
    };
    let words = &stem[..drop_while(stem, &|part| is(part, VERSION_WORDS))];
    let number = &words[..drop_while(words, &is_number)];
    if number.len() < words.len() {
        return number;
    }
    &stem[..drop_while(stem, &|part| is(part, ARTEFACT_WORDS))]
}

/// `1`, `1.2.3`, `v2`, `1.0.RELEASE`, `1rc2`, `rc1`; but not `3scale`.
fn is_number(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    let number = lower.strip_prefix('v').unwrap_or(&lower);
    let first = number.split(['.', '_', '+']).next().unwrap_or_default();
    let rest = first.trim_start_matches(|c: char| c.is_ascii_digit());
    let word = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = first.bytes().any(|b| b.is_ascii_digit());
    numbered && (word.is_empty() || PRERELEASE_WORDS.contains(&word))
}

/// What Java is told to run: `com.shop.Orders` → `Orders`, `com.shop.Main` → `shop`,
/// `com.shop/com.shop.Orders` → `Orders`, `Orders.java` → `Orders`.
pub(super) fn class(class: &str) -> Option<String> {
    if let Some(source) = class.strip_suffix(".java") {
        return base(source).map(str::to_owned);
    }
    let (module, class) = match class.split_once('/') {
        Some((module, class)) => (Some(module), class),
        None => (None, class),
    };
    if let Some((_, name)) = KNOWN_CLASSES.iter().find(|(known, _)| *known == class) {
        return Some((*name).to_owned());
    }
    // The object of a Scala class, a nested class, the file of a Kotlin function.
    let outer = class.split('$').next()?;
    let outer = outer.strip_suffix("Kt").unwrap_or(outer);
    let mut parts = outer.rsplit('.').filter(|part| !part.is_empty());
    let simple = parts.next()?;
    if GENERIC_CLASSES.contains(&simple) {
        let package = parts.find(|part| !GENERIC_MODULES.contains(part));
        return package.or(module).or(Some(simple)).map(str::to_owned);
    }
    Some(simple.to_owned())
}
