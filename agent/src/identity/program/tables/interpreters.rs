//! Interpreters, virtual machines and loaders.
//!
//! Rows list the options that change what the first argument after them means: those with a value
//! of their own, and those that name what is run. All others are flags.

use super::super::runner::Entry::{
    Assembly as AssemblyEntry, Class as ClassEntry, Options, Program,
};
use super::super::runner::Role::{
    Assembly, Attached, Class, Directory, Inline, Jar, Listen, Module, Name, Node, Script, Value,
};
use super::super::runner::Runner;
use super::super::runner::Style::Words;
use super::NONE;

/// Programs that run other programs, by the name of their executable.
pub(super) const INTERPRETERS: &[Runner] = &[
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
