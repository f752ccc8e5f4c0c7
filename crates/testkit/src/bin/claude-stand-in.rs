//! Speaks like the Claude CLI, and behaves as the test wants: see
//! [`candor_testkit::claude_stand_in`].

use std::process::ExitCode;

fn main() -> ExitCode {
    candor_testkit::claude_stand_in::run()
}
