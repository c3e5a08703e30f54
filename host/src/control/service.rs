//! What the service manager of the machine hears of a job: the protocol of `sd_notify(3)`.
//!
//! A message is a datagram to the socket that `NOTIFY_SOCKET` names; where that is not set nobody
//! is told anything.
//!
//! **Invariant:** telling never waits. A message that the manager has no room for is lost, and the
//! next one says all that still holds, so that a loss only delays.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// Where the address of the manager's socket stands.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names; none: there is none, or it cannot be reached, which is
    /// logged.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let address = std::env::var_os(NOTIFY_SOCKET)?;
        match connect(&address) {
            Ok(socket) => Some(Self {
                socket,
                watchdog: sd_notify::watchdog_enabled(),
            }),
            Err(error) => {
                warn!(
                    "the service manager hears nothing: cannot connect to `{NOTIFY_SOCKET}`: {error}"
                );
                None
            }
        }
    }

    /// How often it wants to hear that this process is alive: twice within the time after which it
    /// ends a process that says nothing. None: never.
    #[must_use]
    pub fn alive_every(&self) -> Option<Duration> {
        let half = self.watchdog? / 2;
        Some(half.max(Duration::from_millis(1)))
    }

    /// Tells it something.
    pub fn tell(&self, states: &[NotifyState<'_>]) {
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if let Err(error) = self.socket.send(lines.join("\n").as_bytes()) {
            debug!(
                "the service manager has not heard `{}`: {error}",
                lines.join(", ")
            );
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes() {
        // `@` stands for the zero with which an abstract address begins.
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_reads_nothing_holds_nobody_up_and_an_abstract_address_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("dshost-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let managers = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (manager, address) in managers {
            let told = ServiceManager {
                socket: connect(&address).unwrap(),
                watchdog: None,
            };
            for _ in 0..10_000 {
                told.tell(&[NotifyState::Ready, NotifyState::Status("well")]);
            }
            let mut message = [0; 100];
            let length = manager.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"READY=1\nSTATUS=well");
            drop(manager);
            told.tell(&[NotifyState::Stopping]);
        }
    }

    #[test]
    fn it_hears_twice_within_its_patience() {
        let (socket, _other) = UnixDatagram::pair().unwrap();
        let mut manager = ServiceManager {
            socket,
            watchdog: Some(Duration::from_secs(3)),
        };
        assert_eq!(manager.alive_every(), Some(Duration::from_millis(1500)));
        manager.watchdog = None;
        assert_eq!(manager.alive_every(), None);
    }
}
