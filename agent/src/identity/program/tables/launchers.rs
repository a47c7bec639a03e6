//! Launchers: scripts of one language that run other programs of it.

use super::super::runner::Entry::{App, Directory as DirectoryEntry, Script as ScriptEntry};
use super::super::runner::Role::{App as AppValue, Directory, Flag, Inline, Name, Script, Value};
use super::super::runner::Runner;
use super::NONE;

/// Scripts that run other programs: known to the interpreters of their family, as a script
/// (`python3 /usr/bin/gunicorn`) and as a module (`python3 -m gunicorn`).
pub(super) const LAUNCHERS: &[Runner] = &[
    // https://docs.gunicorn.org/en/stable/settings.html: nearly every option has a value.
    Runner {
        family: "python",
        names: &["gunicorn", "gunicorn3"],
        valued: true,
        options: &[
            ("-n", Name),
            ("--name", Name),
            ("--chdir", Directory),
            ("-b", Value),
            ("-c", Value),
            ("-e", Value),
            ("-g", Value),
            ("-k", Value),
            ("-m", Value),
            ("-p", Value),
            ("-t", Value),
            ("-u", Value),
            ("-w", Value),
            ("--reload", Flag),
            ("--preload", Flag),
            ("--daemon", Flag),
            ("--spew", Flag),
            ("--check-config", Flag),
            ("--print-config", Flag),
            ("--no-sendfile", Flag),
            ("--capture-output", Flag),
            ("--enable-stdio-inheritance", Flag),
            ("--initgroups", Flag),
            ("--proxy-protocol", Flag),
            ("--log-syslog", Flag),
            ("--disable-redirect-access-to-syslog", Flag),
            ("--reuse-port", Flag),
            ("--suppress-ragged-eofs", Flag),
            ("--do-handshake-on-connect", Flag),
            ("--strip-header-spaces", Flag),
            ("--permit-obsolete-folding", Flag),
            ("--permit-unconventional-http-method", Flag),
            ("--permit-unconventional-http-version", Flag),
            ("--casefold-http-method", Flag),
        ],
        entry: App,
        ..NONE
    },
    // https://www.uvicorn.org/settings/
    Runner {
        family: "python",
        names: &["uvicorn"],
        valued: true,
        options: &[
            ("--app-dir", Directory),
            ("--reload", Flag),
            ("--factory", Flag),
            ("--access-log", Flag),
            ("--no-access-log", Flag),
            ("--use-colors", Flag),
            ("--no-use-colors", Flag),
            ("--proxy-headers", Flag),
            ("--no-proxy-headers", Flag),
            ("--server-header", Flag),
            ("--no-server-header", Flag),
            ("--date-header", Flag),
            ("--no-date-header", Flag),
        ],
        entry: App,
        ..NONE
    },
    Runner {
        family: "python",
        names: &["hypercorn"],
        valued: true,
        options: &[
            ("-b", Value),
            ("-c", Value),
            ("-g", Value),
            ("-k", Value),
            ("-m", Value),
            ("-p", Value),
            ("-u", Value),
            ("-w", Value),
            ("--debug", Flag),
            ("--reload", Flag),
        ],
        entry: App,
        ..NONE
    },
    Runner {
        family: "python",
        names: &["daphne"],
        valued: true,
        options: &[
            ("-b", Value),
            ("-e", Value),
            ("-p", Value),
            ("-t", Value),
            ("-u", Value),
            ("-v", Value),
            ("--proxy-headers", Flag),
        ],
        entry: App,
        ..NONE
    },
    Runner {
        family: "python",
        names: &["granian"],
        valued: true,
        options: &[
            ("--process-name", Name),
            ("--working-dir", Directory),
            ("--reload", Flag),
            ("--factory", Flag),
            ("--access-log", Flag),
            ("--no-access-log", Flag),
            ("--no-ws", Flag),
            ("--ws", Flag),
        ],
        entry: App,
        ..NONE
    },
    Runner {
        family: "python",
        names: &["waitress-serve"],
        options: &[("--app", AppValue)],
        entry: App,
        ..NONE
    },
    // https://flask.palletsprojects.com/en/stable/cli/
    Runner {
        family: "python",
        names: &["flask", "quart"],
        options: &[
            ("-A", AppValue),
            ("--app", AppValue),
            ("-e", Value),
            ("--env-file", Value),
        ],
        entry: DirectoryEntry,
        ..NONE
    },
    // https://docs.celeryq.dev/en/stable/reference/cli.html
    Runner {
        family: "python",
        names: &["celery"],
        options: &[
            ("-A", AppValue),
            ("--app", AppValue),
            ("--workdir", Directory),
            ("-b", Value),
            ("--broker", Value),
        ],
        entry: DirectoryEntry,
        ..NONE
    },
    Runner {
        family: "python",
        names: &["fastapi", "streamlit"],
        valued: true,
        commands: &["run", "dev"],
        options: &[("--app", Value), ("--reload", Flag)],
        entry: ScriptEntry,
        ..NONE
    },
    // A Django project is known by its directory.
    Runner {
        family: "python",
        names: &["manage", "django-admin", "django"],
        options: &[("--pythonpath", Directory)],
        entry: DirectoryEntry,
        ..NONE
    },
    Runner {
        family: "javascript",
        names: &["ts-node", "ts-node-esm", "tsx", "nodemon", "babel-node"],
        options: &[
            ("-r", Value),
            ("--require", Value),
            ("-P", Value),
            ("--project", Value),
            ("--tsconfig", Value),
            ("-w", Value),
            ("--watch", Flag),
            ("-e", Value),
            ("--ext", Value),
            ("-x", Inline),
            ("--exec", Inline),
        ],
        commands: &["watch"],
        ..NONE
    },
    Runner {
        family: "ruby",
        names: &["bundle", "bundler"],
        commands: &["exec"],
        ..NONE
    },
    // Rack servers are known by the directory of their application.
    Runner {
        family: "ruby",
        names: &[
            "puma",
            "pumactl",
            "rails",
            "rackup",
            "unicorn",
            "unicorn_rails",
            "thin",
            "falcon",
            "passenger",
            "sidekiq",
            "resque",
            "rake",
            "iodine",
        ],
        options: &[("--dir", Directory), ("--tag", Name)],
        entry: DirectoryEntry,
        ..NONE
    },
    Runner {
        family: "perl",
        names: &[
            "starman",
            "plackup",
            "hypnotoad",
            "morbo",
            "twiggy",
            "starlet",
        ],
        options: &[
            ("-a", Script),
            ("--app", Script),
            ("-E", Value),
            ("--env", Value),
            ("-p", Value),
            ("--port", Value),
            ("-l", Value),
            ("--listen", Value),
            ("-s", Value),
            ("--server", Value),
            ("-I", Value),
            ("-M", Value),
            ("--workers", Value),
        ],
        ..NONE
    },
    // Laravel, Symfony.
    Runner {
        family: "php",
        names: &["artisan", "console"],
        entry: DirectoryEntry,
        ..NONE
    },
    // https://hexdocs.pm/mix/
    Runner {
        family: "erlang",
        names: &["mix", "iex"],
        entry: DirectoryEntry,
        ..NONE
    },
];
