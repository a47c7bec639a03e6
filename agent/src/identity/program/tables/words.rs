//! Words that say little about a program, and titles that say much.

/// Executables that are many programs, told apart by the name they are called by.
pub(in super::super) const MULTI_CALL: &[&str] = &["busybox", "toybox", "coreutils", "toolbox"];

/// How the code begins that an interpreter is given to run a helper of the program that starts it.
pub(in super::super) const HELPER_CODE: &[&str] = &[
    "from multiprocessing.spawn import ",
    "from multiprocessing.forkserver import ",
];

/// What to take from a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Take {
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
pub(in super::super) const TITLES: &[(&str, Take)] = &[
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
pub(in super::super) const SCRIPT_EXTENSIONS: &[&str] = &[
    "py", "pyc", "pyz", "pyw", "zip", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb",
    "ru", "pl", "pm", "psgi", "cgi", "php", "phar", "sh", "bash", "zsh", "fish", "lua", "R", "r",
    "jl", "tcl", "ps1", "wasm", "wat", "exs", "escript", "groovy", "kts",
];

/// Scripts that are named for their part in a program, not for the program.
pub(in super::super) const GENERIC_STEMS: &[&str] = &[
    "__main__", "__init__", "index", "main", "manage", "wsgi", "asgi", "www", "mod", "config",
];

/// The same for native executables.
pub(in super::super) const GENERIC_EXECUTABLES: &[&str] = &["main", "a.out"];

/// The same for modules and packages.
pub(in super::super) const GENERIC_MODULES: &[&str] = &[
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
pub(in super::super) const GENERIC_CLASSES: &[&str] = &[
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
pub(in super::super) const GENERIC_JARS: &[&str] = &[
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
pub(in super::super) const KNOWN_CLASSES: &[(&str, &str)] = &[
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
pub(in super::super) const GENERIC_DIRECTORIES: &[&str] = &[
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
pub(in super::super) const VERSION_WORDS: &[&str] = &[
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
pub(in super::super) const ARTEFACT_WORDS: &[&str] =
    &["fat", "shaded", "shadow", "snapshot", "uber", "all"];

/// What a number in a version may stand after: `rc1`, `2b1`.
pub(in super::super) const PRERELEASE_WORDS: &[&str] =
    &["a", "alpha", "b", "beta", "cr", "m", "rc", "sp"];
