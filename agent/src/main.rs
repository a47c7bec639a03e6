//! The `hark` binary.

use std::process::ExitCode;

use hark::cli::{self, Command, ConfigFile};
use hark::config::{self, Loaded};
use hark::{doctor, log, recording, replay, run, top};

fn main() -> ExitCode {
    match carry_out(cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("hark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Run { config } => run::run(&with_log(&config)?.config)?,
        Command::Doctor { config, json } => {
            let report = doctor::examine(&load(&config)?.config);
            print!(
                "{}",
                if json {
                    report.to_json()
                } else {
                    report.to_text()
                }
            );
            return Ok(report.exit_code());
        }
        Command::Top(options) => top::run(&options)?,
        Command::Record { config, options } => {
            recording::record(&with_log(&config)?.config, &options)?;
        }
        Command::Replay {
            config,
            file,
            metrics,
        } => {
            replay::replay(&with_log(&config)?.config, &file, metrics)?;
        }
        Command::ConfigPrint { config } => print!("{}", config::print(&load(&config)?)),
        Command::ConfigCheck {
            file: Some(file), ..
        } => {
            config::check(&file)?;
            println!("{}: valid", file.display());
        }
        Command::ConfigCheck { file: None, config } => {
            load(&config)?;
            println!("the configuration is valid");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load(config: &ConfigFile) -> Result<Loaded, config::ConfigErrors> {
    config::load(config.file.as_deref(), std::env::vars_os())
}

fn with_log(config: &ConfigFile) -> Result<Loaded, Box<dyn std::error::Error>> {
    let loaded = load(config)?;
    log::init(
        &loaded.config.log,
        std::env::var("HARK_LOG").ok().as_deref(),
    )?;
    Ok(loaded)
}
