//! The command line: parsing only. Each command is carried out by a module of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::{recording, top};

/// Hears every HTTP request that any process on this host serves or sends.
#[derive(Debug, Parser)]
#[command(
    name = "hark",
    version,
    max_term_width = 100,
    propagate_version = false
)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent until it is told to stop (SIGINT or SIGTERM)
    ///
    /// Needs root, or the capabilities that `hark doctor` names.
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Say what works on this host, what does not, why, and what is lost by it
    ///
    /// The exit status is 0 if the agent can run with all that the configuration asks for, and 1
    /// otherwise.
    Doctor {
        #[command(flatten)]
        config: ConfigFile,
        /// Print a JSON object instead of lines for people
        #[arg(long)]
        json: bool,
    },
    /// Show the services of a running agent as a live table
    ///
    /// Reads the agent's /metrics. On a terminal the table is redrawn until `q` or Ctrl-C; in a pipe
    /// it is printed once, after one interval.
    Top {
        /// Address of the agent
        #[arg(long, value_name = "URL", default_value = top::DEFAULT_URL)]
        url: String,
        /// Print the table once, after one interval, and end
        #[arg(long)]
        once: bool,
        /// Seconds between two readings, from 0.1 to 3600
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
        interval: Duration,
    },
    /// Write the raw records of the kernel to a file, for `hark replay`
    ///
    /// The file holds what was heard: request heads with their paths, hosts and user agents. Queries,
    /// the values of other headers, command lines and environments are taken out unless `--raw` is
    /// given; without it nothing of HTTP/2 is recorded, whose header blocks are compressed.
    Record {
        /// The file to write; it must not exist
        file: PathBuf,
        /// End after so many seconds, from 0.1 to 86400; without it, on Ctrl-C
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        seconds: Option<Duration>,
        /// Leave queries, header values (credentials, cookies), command lines and environments in
        #[arg(long)]
        raw: bool,
        /// End when the file has so many MiB
        #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
        max_mib: u64,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Put a recorded file through the agent's pipeline, without a kernel
    ///
    /// Prints the exchanges, one JSON object per line.
    Replay {
        /// The file that `hark record` wrote
        file: PathBuf,
        /// Print the page that /metrics would show, instead of the exchanges
        #[arg(long)]
        metrics: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print or check the configuration
    Config {
        #[command(subcommand)]
        command: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print the effective configuration as YAML, and where each value is from
    Print {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check a configuration file, or without one what is in effect
    ///
    /// A named file is checked alone, whatever the environment says.
    Check {
        /// The file
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Where the configuration is read from.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// Configuration file (YAML); the environment wins over it
    #[arg(
        id = "config",
        long,
        value_name = "FILE",
        env = "HARK_CONFIG",
        hide_env_values = true
    )]
    pub file: Option<PathBuf>,
}

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `hark run`
    Run {
        /// The configuration.
        config: ConfigFile,
    },
    /// `hark doctor`
    Doctor {
        /// The configuration.
        config: ConfigFile,
        /// JSON instead of text.
        json: bool,
    },
    /// `hark top`
    Top(top::Options),
    /// `hark record`
    Record {
        /// The configuration.
        config: ConfigFile,
        /// What to record.
        options: recording::Options,
    },
    /// `hark replay`
    Replay {
        /// The configuration.
        config: ConfigFile,
        /// The file to read.
        file: PathBuf,
        /// The page of metrics instead of the exchanges.
        metrics: bool,
    },
    /// `hark config print`
    ConfigPrint {
        /// The configuration.
        config: ConfigFile,
    },
    /// `hark config check`
    ConfigCheck {
        /// The file to check alone; `None` is what is in effect, by `config` and the environment.
        file: Option<PathBuf>,
        /// The configuration.
        config: ConfigFile,
    },
}

/// Parses the process's arguments. On `--help` and `--version` it prints and ends the process with
/// status 0, on a mistake with status 2.
#[must_use]
pub fn parse() -> Command {
    Cli::parse().command.into()
}

/// Parses these arguments, the program's name first.
///
/// # Errors
///
/// As clap gives them, `--help` and `--version` among them.
pub fn parse_from<I, T>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    Cli::try_parse_from(arguments).map(|cli| cli.command.into())
}

impl From<Verb> for Command {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Run { config } => Self::Run { config },
            Verb::Doctor { config, json } => Self::Doctor { config, json },
            Verb::Top {
                url,
                once,
                interval,
            } => Self::Top(top::Options {
                url,
                once,
                interval,
            }),
            Verb::Record {
                file,
                seconds,
                raw,
                max_mib,
                config,
            } => Self::Record {
                config,
                options: recording::Options {
                    file,
                    duration: seconds,
                    raw,
                    max_bytes: max_mib << 20,
                },
            },
            Verb::Replay {
                file,
                metrics,
                config,
            } => Self::Replay {
                config,
                file,
                metrics,
            },
            Verb::Config { command } => match command {
                ConfigVerb::Print { config } => Self::ConfigPrint { config },
                ConfigVerb::Check { file, config } => Self::ConfigCheck { file, config },
            },
        }
    }
}

/// Reads seconds, with a fraction, within bounds.
fn seconds_between(text: &str, min: f64, max: f64) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (min..=max).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("not a number of seconds from {min} to {max}"))
}

fn interval(text: &str) -> Result<Duration, String> {
    seconds_between(text, 0.1, 3_600.0)
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_between(text, 0.1, 86_400.0)
}

/// `docs/cli.md`, made from the definitions above.
#[must_use]
pub fn page() -> String {
    use std::fmt::Write as _;

    fn write(page: &mut String, path: &str, command: &mut clap::Command) {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let _ = write!(
            page,
            "\n## `{path}`\n\n```text\n{}\n```\n",
            help.join("\n").trim_end()
        );
        for child in command.get_subcommands_mut() {
            if child.get_name() != "help" {
                write(page, &format!("{path} {}", child.get_name()), child);
            }
        }
    }

    let mut page = format!(
        "<!-- Generated from agent/src/cli.rs by `{}`. -->\n\n# The command line\n\n\
         Exit status: 0 done, 1 it could not be done (one sentence on standard error says why),\n\
         2 the command line is wrong.\n",
        crate::config::docs::REGENERATE
    );
    // A fixed width, or the page would depend on the terminal of whoever makes it.
    let mut command = <Cli as clap::CommandFactory>::command()
        .term_width(90)
        .disable_help_subcommand(true);
    command.build();
    write(&mut page, "hark", &mut command);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse_from(line.split(' ')).unwrap()
    }

    fn config(file: &str) -> ConfigFile {
        ConfigFile {
            file: Some(file.into()),
        }
    }

    #[test]
    fn definitions_are_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn commands() {
        assert_eq!(
            parsed("hark run --config a.yaml"),
            Command::Run {
                config: config("a.yaml")
            }
        );
        assert_eq!(
            parsed("hark doctor --json --config a.yaml"),
            Command::Doctor {
                config: config("a.yaml"),
                json: true
            }
        );
        assert_eq!(
            parsed("hark top"),
            Command::Top(top::Options {
                url: "http://127.0.0.1:9465".into(),
                once: false,
                interval: Duration::from_secs(1),
            })
        );
        assert_eq!(
            parsed("hark top --url http://[::1]:1/metrics --once --interval 0.5"),
            Command::Top(top::Options {
                url: "http://[::1]:1/metrics".into(),
                once: true,
                interval: Duration::from_millis(500),
            })
        );
        assert_eq!(
            parsed("hark record out.hark --seconds 2 --config a.yaml"),
            Command::Record {
                config: config("a.yaml"),
                options: recording::Options {
                    file: "out.hark".into(),
                    duration: Some(Duration::from_secs(2)),
                    raw: false,
                    max_bytes: 1 << 30,
                },
            }
        );
        assert_eq!(
            parsed("hark replay out.hark --metrics --config a.yaml"),
            Command::Replay {
                config: config("a.yaml"),
                file: "out.hark".into(),
                metrics: true,
            }
        );
        assert_eq!(
            parsed("hark config print --config a.yaml"),
            Command::ConfigPrint {
                config: config("a.yaml")
            }
        );
        assert_eq!(
            parsed("hark config check a.yaml"),
            Command::ConfigCheck {
                file: Some("a.yaml".into()),
                config: ConfigFile::default(),
            }
        );
        assert_eq!(
            parsed("hark config check --config a.yaml"),
            Command::ConfigCheck {
                file: None,
                config: config("a.yaml"),
            }
        );
    }

    #[test]
    fn mistakes() {
        use clap::error::ErrorKind;
        for (line, kind) in [
            ("hark", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("hark rum", ErrorKind::InvalidSubcommand),
            ("hark run --confg x", ErrorKind::UnknownArgument),
            ("hark record", ErrorKind::MissingRequiredArgument),
            ("hark top --interval 0", ErrorKind::ValueValidation),
            ("hark top --interval nan", ErrorKind::ValueValidation),
            ("hark top --interval -1", ErrorKind::UnknownArgument),
            ("hark top --interval 1e9", ErrorKind::ValueValidation),
            ("hark record f --seconds inf", ErrorKind::ValueValidation),
            ("hark --version", ErrorKind::DisplayVersion),
        ] {
            assert_eq!(
                parse_from(line.split(' ')).unwrap_err().kind(),
                kind,
                "{line}"
            );
        }
    }

    #[test]
    fn docs_cli_is_current() {
        crate::config::docs::assert_current("cli.md", &page());
    }
}
