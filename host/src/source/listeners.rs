//! Sockets that listen before the source is opened which is to take them over, and that outlive
//! the process: clients wait in their backlog meanwhile and are not refused.
//!
//! Who starts the process has bound them: systemd (a `.socket` unit), or the supervisor of
//! `dshost run --supervise`. A source takes over the one that bears its name.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use socket2::{Domain, SockRef, Socket};

/// So many connections wait until they are accepted, where the system allows as many: after the
/// death of a job all its clients come at once.
const BACKLOG: i32 = 4096;

/// Sockets that listen, by the names of the sources that are to take them over.
#[derive(Debug, Default)]
pub struct Listeners(BTreeMap<String, TcpListener>);

/// A socket that no source can take over.
#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    /// It cannot be asked what it is, or is something else.
    #[error("`{0}` is no TCP socket that listens")]
    NotListening(String),
    /// A source takes over one.
    #[error("more than one socket is named `{0}`")]
    Twice(String),
}

impl Listeners {
    /// Adds the socket for a source.
    ///
    /// # Errors
    ///
    /// It does not listen for TCP connections, or there is one for the source.
    pub fn add(&mut self, source: String, socket: OwnedFd) -> Result<(), ListenersError> {
        let socket = Socket::from(socket);
        let is_inet = matches!(socket.domain(), Ok(Domain::IPV4 | Domain::IPV6));
        if !(is_inet && matches!(socket.is_listener(), Ok(true))) {
            return Err(ListenersError::NotListening(source));
        }
        match self.0.insert(source.clone(), socket.into()) {
            None => Ok(()),
            Some(_) => Err(ListenersError::Twice(source)),
        }
    }

    /// The sources that there is one for, each with its socket.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TcpListener)> {
        self.0
            .iter()
            .map(|(source, socket)| (source.as_str(), socket))
    }

    /// The socket of a source, which goes on listening also when the source has closed its own.
    ///
    /// # Errors
    ///
    /// The process has no file descriptor left.
    pub(super) fn take_over(&self, source: &str) -> io::Result<Option<TcpListener>> {
        self.0.get(source).map(TcpListener::try_clone).transpose()
    }
}

/// Listens on an address.
///
/// # Errors
///
/// It is taken, is none of this machine's, or needs rights.
pub fn bind(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    SockRef::from(&listener).listen(BACKLOG)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_tcp_sockets_that_listen_are_taken_one_a_source() {
        let dir = tempfile::tempdir().unwrap();
        let listener = || bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener().local_addr().unwrap());
        let others: [OwnedFd; 3] = [
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            UnixListener::bind(dir.path().join("s")).unwrap().into(),
            std::fs::File::open("/dev/null").unwrap().into(),
        ];
        let mut listeners = Listeners::default();
        for other in others.into_iter().chain(connection.ok().map(OwnedFd::from)) {
            let refused = listeners.add("a".to_owned(), other).unwrap_err();
            assert_eq!(refused.to_string(), "`a` is no TCP socket that listens");
        }
        listeners.add("a".to_owned(), listener().into()).unwrap();
        listeners.add("b".to_owned(), listener().into()).unwrap();
        let twice = listeners.add("a".to_owned(), listener().into());
        assert!(matches!(twice, Err(ListenersError::Twice(_))));
        let sources: Vec<&str> = listeners.iter().map(|(source, _)| source).collect();
        assert_eq!(sources, ["a", "b"]);
        assert!(listeners.take_over("a").unwrap().is_some());
        assert!(listeners.take_over("c").unwrap().is_none());
    }
}
