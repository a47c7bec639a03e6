//! What is known of interpreters, launchers and titles, as data.
//!
//! A new interpreter is a new row. Rows list the options that change what the first argument
//! after them means: those with a value of their own, and those that name what is run. All others
//! are flags.

use super::runner::Entry::{
    App, Assembly as AssemblyEntry, Class as ClassEntry, Directory as DirectoryEntry, Options,
    Program, Script as ScriptEntry,
};
use super::runner::Role::{
    App as AppValue, Assembly, Attached, Class, Directory, Flag, Inline, Jar, Listen, Module, Name,
    Node, Script, Value,
};
use super::runner::Runner;
use super::runner::Style::{Letters, Words};

/// Executables that are many programs, told apart by the name they are called by.
pub(super) const MULTI_CALL: &[&str] = &["busybox", "toybox", "coreutils", "toolbox"];

/// Arguments of helpers that an interpreter starts from the program's own code.
pub(super) const CHILD_MARKERS: &[&str] = &["--multiprocessing-fork"];

const NONE: Runner = Runner {
    family: "",
    names: &[],
    style: Letters,
    options: &[],
    valued: false,
    commands: &[],
    entry: ScriptEntry,
};

/// Programs that run other programs, by the name of their executable.
const INTERPRETERS: &[Runner] = &[
    // https://docs.python.org/3/using/cmdline.html
    Runner {
        family: "python",
        names: &["python", "pypy"],
        options: &[
            ("-c", Inline),
            ("-m", Module),
            ("-W", Value),
            ("-X", Value),
            ("-Q", Value),
            ("--check-hash-based-pycs", Value),
        ],
        ..NONE
    },
    // https://nodejs.org/api/cli.html; an option of V8 has its value after `=` only.
    Runner {
        family: "javascript",
        names: &["node", "nodejs"],
        options: &[
            ("-e", Inline),
            ("--eval", Inline),
            ("-p", Inline),
            ("--print", Inline),
            ("--title", Name),
            ("-r", Value),
            ("--require", Value),
            ("--import", Value),
            ("--loader", Value),
            ("--experimental-loader", Value),
            ("-C", Value),
            ("--conditions", Value),
            ("--env-file", Value),
            ("--env-file-if-exists", Value),
            ("--input-type", Value),
            ("--inspect-port", Value),
            ("--debug-port", Value),
            ("--icu-data-dir", Value),
            ("--openssl-config", Value),
            ("--tls-cipher-list", Value),
            ("--tls-keylog", Value),
            ("--unhandled-rejections", Value),
            ("--disable-warning", Value),
            ("--redirect-warnings", Value),
            ("--diagnostic-dir", Value),
            ("--report-dir", Value),
            ("--report-directory", Value),
            ("--report-filename", Value),
            ("--report-signal", Value),
            ("--cpu-prof-dir", Value),
            ("--cpu-prof-name", Value),
            ("--heap-prof-dir", Value),
            ("--heap-prof-name", Value),
            ("--heapsnapshot-signal", Value),
            ("--heapsnapshot-near-heap-limit", Value),
            ("--trace-event-categories", Value),
            ("--trace-event-file-pattern", Value),
            ("--max-http-header-size", Value),
            ("--dns-result-order", Value),
            ("--network-family-autoselection-attempt-timeout", Value),
            ("--secure-heap", Value),
            ("--secure-heap-min", Value),
            ("--v8-pool-size", Value),
            ("--watch-path", Value),
            ("--experimental-default-type", Value),
            ("--experimental-config-file", Value),
            ("--localstorage-file", Value),
        ],
        ..NONE
    },
    // https://docs.deno.com/runtime/reference/cli/
    Runner {
        family: "javascript",
        names: &["deno"],
        options: &[
            ("-c", Value),
            ("--config", Value),
            ("--import-map", Value),
            ("--cert", Value),
            ("--location", Value),
            ("-L", Value),
            ("--log-level", Value),
            ("--seed", Value),
            ("--lock", Attached),
            ("--port", Value),
            ("--host", Value),
            ("--preload", Value),
        ],
        commands: &["run", "serve"],
        ..NONE
    },
    // https://bun.sh/docs/cli/run
    Runner {
        family: "javascript",
        names: &["bun"],
        options: &[
            ("-e", Inline),
            ("--eval", Inline),
            ("-p", Inline),
            ("--print", Inline),
            ("-r", Value),
            ("--preload", Value),
            ("--require", Value),
            ("--import", Value),
            ("-c", Attached),
            ("--config", Value),
            ("--cwd", Directory),
            ("--env-file", Value),
            ("-d", Value),
            ("--define", Value),
            ("-l", Value),
            ("--loader", Value),
            ("--port", Value),
            ("--conditions", Value),
            ("--tsconfig-override", Value),
        ],
        commands: &["run"],
        ..NONE
    },
    // https://docs.oracle.com/en/java/javase/21/docs/specs/man/java.html
    Runner {
        family: "java",
        names: &["java", "javaw"],
        style: Words,
        options: &[
            ("-Dotel.service.name", Name),
            ("-Dspring.application.name", Name),
            ("-jar", Jar),
            ("-m", Class),
            ("--module", Class),
            ("-cp", Value),
            ("-classpath", Value),
            ("--class-path", Value),
            ("-p", Value),
            ("--module-path", Value),
            ("--upgrade-module-path", Value),
            ("--add-modules", Value),
            ("--limit-modules", Value),
            ("--enable-native-access", Value),
            ("--illegal-native-access", Value),
            ("--add-exports", Value),
            ("--add-opens", Value),
            ("--add-reads", Value),
            ("--patch-module", Value),
            ("--source", Value),
            ("--describe-module", Value),
            ("-d", Value),
        ],
        entry: ClassEntry,
        ..NONE
    },
    // https://docs.ruby-lang.org/en/master/ruby/options_md.html
    Runner {
        family: "ruby",
        names: &["ruby", "jruby", "truffleruby"],
        options: &[
            ("-e", Inline),
            ("-r", Value),
            ("-I", Value),
            ("-C", Directory),
            ("-E", Value),
            ("--encoding", Value),
            ("--external-encoding", Value),
            ("--internal-encoding", Value),
            ("--backtrace-limit", Value),
            ("-F", Attached),
            ("-K", Attached),
            ("-T", Attached),
            ("-W", Attached),
            ("-i", Attached),
            ("-x", Attached),
            ("-0", Attached),
        ],
        ..NONE
    },
    // perlrun(1)
    Runner {
        family: "perl",
        names: &["perl"],
        options: &[
            ("-e", Inline),
            ("-E", Inline),
            ("-I", Value),
            ("-C", Attached),
            ("-D", Attached),
            ("-F", Attached),
            ("-M", Attached),
            ("-V", Attached),
            ("-d", Attached),
            ("-i", Attached),
            ("-l", Attached),
            ("-m", Attached),
            ("-x", Attached),
            ("-0", Attached),
        ],
        ..NONE
    },
    // https://www.php.net/manual/en/features.commandline.options.php
    Runner {
        family: "php",
        names: &["php", "php-cgi", "frankenphp"],
        options: &[
            ("-r", Inline),
            ("-B", Inline),
            ("-R", Inline),
            ("-E", Inline),
            ("-f", Script),
            ("-F", Script),
            ("-t", Directory),
            ("-c", Value),
            ("-d", Value),
            ("-z", Value),
            ("-S", Listen),
            ("--define", Value),
            ("--php-ini", Value),
        ],
        ..NONE
    },
    // https://learn.microsoft.com/en-us/dotnet/core/tools/dotnet
    Runner {
        family: "dotnet",
        names: &["dotnet"],
        style: Words,
        options: &[
            ("--additionalprobingpath", Value),
            ("--additional-deps", Value),
            ("--depsfile", Value),
            ("--fx-version", Value),
            ("--roll-forward", Value),
            ("--runtimeconfig", Value),
            ("-c", Value),
            ("--configuration", Value),
            ("-f", Value),
            ("--framework", Value),
            ("--launch-profile", Value),
            ("--project", Assembly),
        ],
        commands: &["exec", "run", "watch"],
        entry: AssemblyEntry,
        ..NONE
    },
    Runner {
        family: "dotnet",
        names: &["mono", "mono-sgen"],
        style: Words,
        options: &[("--config", Value)],
        entry: AssemblyEntry,
        ..NONE
    },
    // https://www.erlang.org/doc/apps/erts/erl_cmd
    Runner {
        family: "erlang",
        names: &["beam.smp", "beam"],
        style: Words,
        options: &[
            ("-name", Node),
            ("-sname", Node),
            ("-s", Module),
            ("-run", Module),
            ("-extra", Script),
            ("-eval", Value),
            ("-root", Value),
            ("-home", Value),
            ("-progname", Value),
            ("-boot", Value),
            ("-config", Value),
            ("-pa", Value),
            ("-pz", Value),
        ],
        entry: Options,
        ..NONE
    },
    // bash(1), dash(1), zshall(1)
    Runner {
        family: "shell",
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"],
        options: &[
            ("-c", Inline),
            ("-s", Inline),
            ("-o", Value),
            ("-O", Value),
            ("--rcfile", Value),
            ("--init-file", Value),
        ],
        ..NONE
    },
    Runner {
        family: "powershell",
        names: &["pwsh"],
        style: Words,
        options: &[
            ("-File", Script),
            ("-f", Script),
            ("-Command", Inline),
            ("-c", Inline),
            ("-EncodedCommand", Inline),
            ("-ExecutionPolicy", Value),
            ("-WorkingDirectory", Directory),
            ("-ConfigurationName", Value),
        ],
        ..NONE
    },
    Runner {
        family: "lua",
        names: &["lua", "luajit", "texlua"],
        options: &[("-e", Value), ("-l", Value)],
        ..NONE
    },
    Runner {
        family: "r",
        names: &["Rscript"],
        options: &[("-e", Inline)],
        ..NONE
    },
    Runner {
        family: "r",
        names: &["R"],
        options: &[
            ("-e", Inline),
            ("-f", Script),
            ("--file", Script),
            ("-g", Value),
        ],
        entry: Options,
        ..NONE
    },
    Runner {
        family: "julia",
        names: &["julia"],
        options: &[
            ("-e", Inline),
            ("-E", Inline),
            ("--eval", Inline),
            ("--print", Inline),
            ("-C", Value),
            ("-H", Value),
            ("-J", Value),
            ("-L", Value),
            ("-p", Value),
            ("-t", Value),
            ("-O", Attached),
            ("-g", Attached),
        ],
        ..NONE
    },
    Runner {
        family: "tcl",
        names: &["tclsh", "expect"],
        options: &[("-encoding", Value), ("-c", Inline)],
        ..NONE
    },
    Runner {
        family: "wasm",
        names: &["wasmtime", "wasmer"],
        options: &[
            ("--dir", Value),
            ("--env", Value),
            ("-S", Value),
            ("-W", Value),
            ("-O", Value),
            ("-C", Value),
            ("-D", Value),
        ],
        commands: &["run", "serve"],
        ..NONE
    },
    // ld.so(8) called by name.
    Runner {
        family: "loader",
        names: &[
            "ld-linux-x86-64.so",
            "ld-linux-aarch64.so",
            "ld-musl-x86_64.so",
            "ld-musl-aarch64.so",
            "ld.so",
        ],
        options: &[
            ("--library-path", Value),
            ("--preload", Value),
            ("--argv0", Value),
            ("--inhibit-rpath", Value),
            ("--audit", Value),
            ("--glibc-hwcaps-prepend", Value),
            ("--glibc-hwcaps-mask", Value),
        ],
        entry: Program,
        ..NONE
    },
    // User-mode emulation, as binfmt_misc starts it.
    Runner {
        family: "emulator",
        names: &[
            "qemu-x86_64",
            "qemu-x86_64-static",
            "qemu-aarch64",
            "qemu-aarch64-static",
            "qemu-arm",
            "qemu-arm-static",
            "qemu-riscv64",
            "qemu-riscv64-static",
            "qemu-s390x",
            "qemu-s390x-static",
            "qemu-ppc64le",
            "qemu-ppc64le-static",
            "rosetta",
        ],
        style: Words,
        options: &[
            ("-L", Value),
            ("-0", Value),
            ("-E", Value),
            ("-U", Value),
            ("-cpu", Value),
            ("-g", Value),
            ("-s", Value),
            ("-B", Value),
            ("-R", Value),
            ("-d", Value),
            ("-D", Value),
            ("-r", Value),
        ],
        entry: Program,
        ..NONE
    },
];

/// Scripts that run other programs: known to the interpreters of their family, as a script
/// (`python3 /usr/bin/gunicorn`) and as a module (`python3 -m gunicorn`).
const LAUNCHERS: &[Runner] = &[
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

/// The interpreter whose executable is called `base`.
pub(super) fn interpreter(base: &str) -> Option<&'static Runner> {
    find(INTERPRETERS, base)
}

/// The launcher of a family with this name.
pub(super) fn launcher(family: &str, name: &str) -> Option<&'static Runner> {
    find(LAUNCHERS, name).filter(|launcher| launcher.family == family)
}

/// By the whole name, or without its version: `python3.11`, `php8.2`, `gunicorn-3`.
fn find(table: &'static [Runner], name: &str) -> Option<&'static Runner> {
    let plain = name
        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
        .trim_end_matches('-');
    // Free-threaded CPython is `python3.13t`.
    let threaded = name
        .strip_suffix('t')
        .filter(|n| n.ends_with(|c: char| c.is_ascii_digit()))
        .map(|n| n.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'));
    table.iter().find(|runner| {
        runner.names.contains(&name)
            || runner.names.contains(&plain)
            || threaded.is_some_and(|t| runner.names.contains(&t))
    })
}

/// What to take from a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// This name.
    Fixed(&'static str),
    /// The application in the last brackets.
    Brackets,
    /// The word with this number, from 0.
    Word(usize),
    /// The pool of PHP-FPM; the default one, `www`, names nothing.
    Pool,
    /// The directory that the rest names.
    Path,
    /// The value of `-A`.
    AppOption,
    /// The working directory.
    Directory,
}

/// Titles, by how they begin.
pub(super) const TITLES: &[(&str, Take)] = &[
    ("gunicorn: ", Take::Brackets),
    ("puma: ", Take::Brackets),
    ("puma ", Take::Brackets),
    ("unicorn ", Take::Directory),
    ("unicorn_rails ", Take::Directory),
    ("rainbows ", Take::Directory),
    // `sidekiq 7.1.2 shop [0 of 5 busy]`
    ("sidekiq ", Take::Word(1)),
    ("[celeryd: ", Take::AppOption),
    ("Passenger RubyApp: ", Take::Path),
    ("Passenger AppPreloader: ", Take::Path),
    ("Passenger NodeApp: ", Take::Path),
    ("Passenger WsgiApp: ", Take::Path),
    ("php-fpm: pool ", Take::Pool),
    ("php-fpm: ", Take::Fixed("php-fpm")),
    ("next-server ", Take::Directory),
];

/// Endings that a script's name is known without.
pub(super) const SCRIPT_EXTENSIONS: &[&str] = &[
    "py", "pyc", "pyz", "pyw", "zip", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb",
    "ru", "pl", "pm", "psgi", "cgi", "php", "phar", "sh", "bash", "zsh", "fish", "lua", "R", "r",
    "jl", "tcl", "ps1", "wasm", "wat", "exs", "escript", "groovy", "kts",
];

/// Scripts that are named for their part in a program, not for the program.
pub(super) const GENERIC_STEMS: &[&str] = &[
    "__main__", "__init__", "index", "main", "manage", "wsgi", "asgi", "www", "mod", "config",
];

/// The same for native executables.
pub(super) const GENERIC_EXECUTABLES: &[&str] = &["main", "a.out"];

/// The same for modules and packages.
pub(super) const GENERIC_MODULES: &[&str] = &[
    "wsgi",
    "asgi",
    "app",
    "main",
    "application",
    "src",
    "boot",
    "bootstrap",
    "launcher",
    "cli",
];

/// The same for classes.
pub(super) const GENERIC_CLASSES: &[&str] = &[
    "Main",
    "App",
    "Application",
    "Launcher",
    "Bootstrap",
    "Start",
    "Runner",
    "Boot",
    "Program",
];

/// The same for jars.
pub(super) const GENERIC_JARS: &[&str] = &[
    "app",
    "application",
    "main",
    "start",
    "run",
    "runner",
    "launcher",
    "bootstrap",
    "quarkus-run",
    "jboss-modules",
];

/// Main classes that are known by another name.
pub(super) const KNOWN_CLASSES: &[(&str, &str)] = &[
    ("org.apache.catalina.startup.Bootstrap", "tomcat"),
    ("org.eclipse.jetty.start.Main", "jetty"),
    ("org.jboss.modules.Main", "wildfly"),
    ("com.sun.enterprise.glassfish.bootstrap.ASMain", "glassfish"),
    ("kafka.Kafka", "kafka"),
    (
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        "zookeeper",
    ),
    ("org.apache.cassandra.service.CassandraDaemon", "cassandra"),
    ("org.elasticsearch.bootstrap.Elasticsearch", "elasticsearch"),
    (
        "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
        "elasticsearch",
    ),
    ("org.opensearch.bootstrap.OpenSearch", "opensearch"),
    ("org.apache.solr.cli.SolrCLI", "solr"),
];

/// Directories that say where programs are put, not which.
pub(super) const GENERIC_DIRECTORIES: &[&str] = &[
    ".",
    ".bin",
    "app",
    "apps",
    "bin",
    "build",
    "classes",
    "cmd",
    "code",
    "conf",
    "config",
    "current",
    "data",
    "debug",
    "deployments",
    "dist",
    "dist-packages",
    "etc",
    "home",
    "html",
    "htdocs",
    "jars",
    "lib",
    "lib64",
    "libexec",
    "libs",
    "local",
    "mnt",
    "node_modules",
    "opt",
    "out",
    "output",
    "private",
    "public",
    "publish",
    "quarkus-app",
    "release",
    "releases",
    "root",
    "run",
    "sbin",
    "scripts",
    "share",
    "site-packages",
    "src",
    "srv",
    "target",
    "tmp",
    "usr",
    "var",
    "web",
    "webroot",
    "work",
    "workdir",
    "workspace",
    "www",
];

/// What build tools add to the name of an artefact after its version.
pub(super) const VERSION_WORDS: &[&str] = &[
    "all",
    "alpha",
    "beta",
    "boot",
    "exec",
    "fat",
    "final",
    "ga",
    "release",
    "runner",
    "shaded",
    "shadow",
    "snapshot",
    "standalone",
    "uber",
];

/// Those of them that are never part of a name.
pub(super) const ARTEFACT_WORDS: &[&str] = &["fat", "shaded", "shadow", "snapshot", "uber", "all"];

/// What a number in a version may stand after: `rc1`, `2b1`.
pub(super) const PRERELEASE_WORDS: &[&str] = &["a", "alpha", "b", "beta", "cr", "m", "rc", "sp"];
