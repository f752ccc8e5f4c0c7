//! A stand-in for the Claude CLI: the stream-json protocol on stdin and stdout, as
//! version 2.1.330 was seen to speak it, with a [`Behaviour`] that the test chooses.
//!
//! It is a program (`claude-stand-in`), since what is tested is how a process is
//! started, spoken to and ended. Environment:
//!
//! * `CLAUDE_STAND_IN`: the behaviour, or a file that holds it, read at the start.
//! * `CLAUDE_STAND_IN_LOG`: a file that gets a JSON line for the start (`pid`, `args`),
//!   for each line that came in (`line`) and each process that was started (`child`).
//! * `CLAUDE_STAND_IN_STATE`: a file that tells a second start from the first.
//! * `CLAUDE_CONFIG_DIR`: where sessions are kept, as by the CLI; without, nowhere.

mod behaviour;
mod log;
mod session;
mod speak;

use std::process::ExitCode;

pub use behaviour::Behaviour;
pub use log::{Log, Start};

/// The program.
#[must_use]
pub fn run() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let chosen = variable("CLAUDE_STAND_IN");
    let chosen = std::fs::read_to_string(&chosen).unwrap_or(chosen);
    let Some(behaviour) = Behaviour::read(chosen.trim()) else {
        eprintln!("claude-stand-in: no such behaviour: {chosen}");
        return ExitCode::from(64);
    };
    let log = Log::new(variable("CLAUDE_STAND_IN_LOG"));
    log.started(&args);
    ExitCode::from(speak::Speaker::new(log, args).behave(&behaviour))
}
