//! A panic of any thread ends the process: half a job does not go on.
//!
//! Otherwise a job would run on without new plugin versions, or without what it publishes, and end
//! with 0. Only a compiler that panics over a file is missed by nobody: the file is refused.

use super::tell::Teller;
use crate::dataflow::PANIC_EXIT_CODE;
use crate::plugin::COMPILER_THREAD;

/// From now on a panic prints its message and ends the process with [`PANIC_EXIT_CODE`].
pub(super) fn end_the_process(teller: Teller) {
    std::panic::set_hook(Box::new(move |panic| {
        teller.panic(panic);
        if std::thread::current().name() != Some(COMPILER_THREAD) {
            std::process::exit(PANIC_EXIT_CODE);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::cli::args::LogFormat;

    /// Set in the process that is to panic.
    const PANICS: &str = "DSHOST_TEST_PANICS";

    #[test]
    fn a_panic_in_any_thread_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            end_the_process(Teller::new(LogFormat::Text));
            let _ = std::thread::spawn(|| panic!("a thread is lost")).join();
            return;
        }
        let name = std::thread::current().name().unwrap().to_owned();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(PANICS, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(PANIC_EXIT_CODE), "{said}");
        assert!(said.contains("a thread is lost"), "{said}");
    }
}
