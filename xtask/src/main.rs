//! Developer verbs of hark, one file each. `cargo xtask help` lists them.

mod bench;
mod build;
mod demo;
mod fuzz;
mod lint;
mod parallel;
mod process;
mod setup;
mod table;
mod test;
mod torture;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Developer verbs of hark.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Args),
    Build(build::Args),
    Lint(lint::Args),
    Test(test::Args),
    Torture(torture::Args),
    Vm(vm::Args),
    Fuzz(fuzz::Args),
    Bench(bench::Args),
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = Workspace::find().and_then(|workspace| match cli.verb {
        Verb::Setup(args) => setup::run(&workspace, &args),
        Verb::Build(args) => build::run(&workspace, &args),
        Verb::Lint(args) => lint::run(&workspace, &args),
        Verb::Test(args) => test::run(&workspace, &args),
        Verb::Torture(args) => torture::run(&workspace, &args),
        Verb::Vm(args) => vm::run(&workspace, &args),
        Verb::Fuzz(args) => fuzz::run(&workspace, &args),
        Verb::Bench(args) => bench::run(&workspace, &args),
        Verb::Demo(args) => demo::run(&workspace, &args),
    });
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
