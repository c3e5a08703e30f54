//! What a process inherits from who started it: sockets that listen already, by the protocol of
//! `sd_listen_fds(3)` (`LISTEN_FDS`, `LISTEN_FDNAMES`), and the line to its supervisor.
//!
//! A socket is for the source whose name it bears. systemd gives it with `FileDescriptorName=`.

use std::os::fd::{FromRawFd, OwnedFd};

use super::error::{CliError, Fault};
use crate::control::supervisor::{LINE_NAME, SupervisorLine};
use crate::source::listeners::Listeners;

/// How many descriptors there are.
const LISTEN_FDS: &str = "LISTEN_FDS";

/// Whose they are; without it they are for who finds them.
const LISTEN_PID: &str = "LISTEN_PID";

/// What was inherited.
#[derive(Default)]
pub(super) struct Inherited {
    /// Sockets, by the names of sources.
    pub(super) listeners: Listeners,
    /// None: nobody would start the process again.
    pub(super) supervisor: Option<SupervisorLine>,
}

impl Inherited {
    /// Takes it, once, before the process has a second thread. Afterwards no child of the process
    /// inherits any of it.
    ///
    /// # Errors
    ///
    /// What the environment says of it is wrong, or it is something else.
    pub(super) fn take() -> Result<Self, CliError> {
        let wrong = |what: String| {
            CliError::new(Fault::Usage, "cannot take over the sockets of `LISTEN_FDS`").cause(what)
        };
        let descriptors = take_descriptors().map_err(|error| wrong(error.to_string()))?;
        let mut inherited = Self::default();
        for (descriptor, name) in descriptors {
            if name == LINE_NAME {
                let line = SupervisorLine::inherited(descriptor);
                let line = line.map_err(|error| wrong(format!("`{name}`: {error}")))?;
                inherited.supervisor = Some(line);
            } else {
                let added = inherited.listeners.add(name, descriptor);
                added.map_err(|error| wrong(error.to_string()))?;
            }
        }
        Ok(inherited)
    }
}

fn take_descriptors() -> std::io::Result<Vec<(OwnedFd, String)>> {
    let me = std::process::id().to_string();
    let count = std::env::var(LISTEN_FDS).unwrap_or_default();
    let is_mine = std::env::var(LISTEN_PID).is_ok_and(|pid| pid == me);
    let is_anybodys = std::env::var_os(LISTEN_PID).is_none();
    if matches!(&*count, "" | "0") || !(is_mine || is_anybodys) {
        return Ok(Vec::new());
    }
    if is_anybodys {
        // Only the process itself knows its number before it runs, so a supervisor leaves it out.
        // SAFETY: the process has one thread, so that nobody reads the environment meanwhile.
        unsafe { std::env::set_var(LISTEN_PID, me) };
    }
    // SAFETY: as above.
    let found = unsafe { sd_notify::listen_fds_with_names_and_unset_env() }?;
    // SAFETY: each of them is open, which setting it close-on-exec has shown, and the protocol
    // makes it this process's own; the variables are gone, so that it is taken once.
    let owned = found.map(|(descriptor, name)| (unsafe { OwnedFd::from_raw_fd(descriptor) }, name));
    Ok(owned.collect())
}
