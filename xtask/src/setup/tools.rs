//! The programs that tests, benchmarks and the demo run, and the packages that have them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::compiler::major_minor;
use crate::setup::{Need, apt, on_path};

/// A program that something here runs.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Debian's package.
    pub(crate) package: &'static str,
    /// What we have no use for the package without: all must be on PATH, or be there if they begin
    /// with a slash.
    commands: &'static [&'static str],
    /// What it is for, as the end of a sentence.
    pub(crate) purpose: &'static str,
    /// The service that the package would start.
    service: Option<&'static str>,
    /// The oldest usable version and how to ask for it.
    minimum: Option<Minimum>,
    needs: &'static [Need],
}

/// A version that a program must have, asked of the program itself.
#[derive(Debug)]
struct Minimum {
    version: &'static str,
    ask: &'static [&'static str],
    /// What stands before the version in the answer.
    before: &'static str,
}

/// Everything that is installed on demand, but for the kernel toolchain.
const TOOLS: &[Tool] = &[
    Tool {
        needs: &[Need::Test, Need::Bench, Need::Demo, Need::Vm],
        service: Some("nginx"),
        ..tool(
            "nginx-light",
            &["nginx"],
            "the server under load, and a proxy",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Bench],
        ..tool("wrk", &["wrk"], "load at full speed, pipelining")
    },
    Tool {
        needs: &[Need::Test],
        ..tool("apache2-utils", &["ab"], "load, one connection per request")
    },
    Tool {
        needs: &[Need::Test, Need::Bench, Need::Vm],
        ..tool("nghttp2-client", &["h2load"], "load over HTTP/2")
    },
    Tool {
        needs: &[Need::Test],
        ..tool("nghttp2-server", &["nghttpd"], "a server of HTTP/2")
    },
    Tool {
        needs: &[Need::Test, Need::Demo],
        ..tool("curl", &["curl"], "a client that people use")
    },
    Tool {
        needs: &[Need::Test],
        service: Some("prometheus"),
        ..tool("prometheus", &["prometheus", "promtool"], "a real scrape")
    },
    Tool {
        needs: &[Need::Test, Need::Demo],
        ..tool("python3", &["python3"], "servers in Python")
    },
    Tool {
        needs: &[Need::Test],
        ..tool(
            "python3-grpcio",
            &["/usr/lib/python3/dist-packages/grpc/__init__.py"],
            "gRPC in Python",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Demo],
        ..tool("nodejs", &["node"], "servers in JavaScript")
    },
    Tool {
        needs: &[Need::Test],
        ..tool(
            "default-jdk-headless",
            &["java", "javac"],
            "a server in Java",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Demo],
        minimum: Some(Minimum {
            version: "1.21",
            ask: &["go", "env", "GOVERSION"],
            before: "go",
        }),
        ..tool("golang", &["go"], "servers in Go")
    },
    Tool {
        needs: &[Need::Test],
        service: Some("redis-server"),
        ..tool(
            "redis-server",
            &["redis-server"],
            "a protocol that is not HTTP",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Vm],
        ..tool(
            "openssl",
            &["openssl"],
            "TLS, which must not be taken for HTTP, and certificates",
        )
    },
    Tool {
        needs: &[Need::Test],
        ..tool(
            "iproute2",
            &["ip", "ss", "tc"],
            "network namespaces, addresses, loss",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Bench],
        ..tool("mount", &["losetup"], "disks of a test's own")
    },
    Tool {
        needs: &[Need::Test],
        ..tool(
            "util-linux",
            &["fsfreeze", "setpriv"],
            "a file system that does not answer, a process without rights",
        )
    },
    Tool {
        needs: &[Need::Test],
        ..tool("e2fsprogs", &["mkfs.ext4"], "a file system on such a disk")
    },
    Tool {
        needs: &[Need::Test, Need::Vm],
        ..tool(
            "qemu-system-x86",
            &["qemu-system-x86_64"],
            "other kernels than this host's",
        )
    },
    Tool {
        needs: &[Need::Test, Need::Vm],
        ..tool("cpio", &["cpio"], "what those kernels have for a disk")
    },
    Tool {
        needs: &[Need::Test, Need::Fuzz],
        ..tool("g++", &["c++"], "libFuzzer, which is C++")
    },
];

const fn tool(
    package: &'static str,
    commands: &'static [&'static str],
    purpose: &'static str,
) -> Tool {
    Tool {
        package,
        commands,
        purpose,
        service: None,
        minimum: None,
        needs: &[],
    }
}

/// What a verb wants and this machine does not have, or has too old.
pub(super) fn missing(need: Need) -> Vec<&'static Tool> {
    let is_there = |command: &str| match command {
        path if path.starts_with('/') => Path::new(path).is_file(),
        command => on_path(command),
    };
    missing_from(TOOLS, need, is_there, |minimum| {
        let (program, args) = minimum.ask.split_first()?;
        process::output(Command::new(program).args(args)).ok()
    })
}

fn missing_from(
    tools: &[Tool],
    need: Need,
    is_there: impl Fn(&str) -> bool,
    ask: impl Fn(&Minimum) -> Option<String>,
) -> Vec<&Tool> {
    tools
        .iter()
        .filter(|tool| tool.needs.contains(&need))
        .filter(|tool| {
            let there = tool.commands.iter().all(|command| is_there(command));
            let recent = || match &tool.minimum {
                Some(minimum) => ask(minimum).is_some_and(|answer| minimum.met_by(&answer)),
                None => true,
            };
            !(there && recent())
        })
        .collect()
}

impl Minimum {
    fn met_by(&self, answer: &str) -> bool {
        answer
            .trim()
            .strip_prefix(self.before)
            .is_some_and(|version| major_minor(version) >= major_minor(self.version))
    }
}

/// Installs what apt has in a usable version, and names the rest.
pub(super) fn install(tools: &[&Tool]) -> Result<()> {
    if rustix::process::geteuid().is_root() && on_path("apt-get") {
        apt::update()?;
    }
    let (usable, unusable): (Vec<&Tool>, Vec<&Tool>) = tools.iter().partition(|tool| {
        let candidate = apt::candidate(tool.package);
        candidate.is_some_and(|candidate| match &tool.minimum {
            Some(minimum) => major_minor(&candidate) >= major_minor(minimum.version),
            None => true,
        })
    });
    for tool in unusable {
        let version = match &tool.minimum {
            Some(minimum) => format!(" {} or later", minimum.version),
            None => String::new(),
        };
        eprintln!(
            "setup: apt has no {}{version}; install it by other means",
            tool.package
        );
    }
    if usable.is_empty() {
        return Ok(());
    }
    apt::install(&usable.iter().map(|tool| tool.package).collect::<Vec<_>>())?;
    for service in usable.iter().filter_map(|tool| tool.service) {
        apt::keep_stopped(service)
            .with_context(|| format!("{service} was installed and may be running"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Tool] = &[
        Tool {
            needs: &[Need::Test],
            ..tool("pair", &["left", "right"], "")
        },
        Tool {
            needs: &[Need::Test, Need::Demo],
            minimum: Some(Minimum {
                version: "1.21",
                ask: &["go"],
                before: "go",
            }),
            ..tool("golang", &["go"], "")
        },
    ];

    fn names(need: Need, there: &[&str], version: Option<&str>) -> Vec<&'static str> {
        missing_from(
            TWO,
            need,
            |command| there.contains(&command),
            |_| version.map(str::to_owned),
        )
        .iter()
        .map(|tool| tool.package)
        .collect()
    }

    #[test]
    fn a_tool_is_missing_unless_all_its_commands_are_there() {
        let go = Some("go1.21.0\n");
        assert_eq!(names(Need::Test, &[], go), ["pair", "golang"]);
        assert_eq!(names(Need::Test, &["left", "go"], go), ["pair"]);
        assert!(names(Need::Test, &["left", "right", "go"], go).is_empty());
    }

    #[test]
    fn only_what_the_verb_needs_is_looked_for() {
        assert_eq!(names(Need::Demo, &[], None), ["golang"]);
        assert!(names(Need::Build, &[], None).is_empty());
    }

    #[test]
    fn too_old_is_missing() {
        for (version, recent) in [
            (Some("go1.19.8"), false),
            (Some("go1.20"), false),
            (Some("go1.21"), true),
            (Some("go1.100.1"), true),
            (Some("devel"), false),
            (None, false),
        ] {
            let missing = names(Need::Demo, &["go"], version);
            assert_eq!(missing.is_empty(), recent, "{version:?}");
        }
    }

    #[test]
    fn each_package_is_listed_once_and_needed_by_something() {
        let mut packages: Vec<_> = TOOLS.iter().map(|tool| tool.package).collect();
        packages.sort_unstable();
        let listed = packages.len();
        packages.dedup();
        assert_eq!(packages.len(), listed);
        assert!(TOOLS.iter().all(|tool| !tool.needs.is_empty()));
        assert!(TOOLS.iter().all(|tool| !tool.commands.is_empty()));
    }
}
