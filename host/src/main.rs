//! The `dshost` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    dshost::cli::main()
}
