//! The sockets that a supervisor keeps open over the deaths of its job.
//!
//! Each source that listens has one: where who started the supervisor has handed one over, that;
//! else one that the supervisor binds. They follow the topology: before every start those that it
//! does not listen on any more are closed, and new ones are bound. One that cannot be bound the
//! job binds itself, or says why not.

use std::collections::BTreeMap;
use std::net::TcpListener;

use tracing::debug;

use crate::source::SourceConnectors;
use crate::source::listeners::{Listeners, bind};
use crate::topology::plan::Plan;

/// What is kept open.
pub(super) struct Sockets {
    handed: Listeners,
    /// By source, the address and what listens there.
    bound: BTreeMap<String, (String, TcpListener)>,
}

impl Sockets {
    /// Those that were handed over.
    pub(super) const fn new(handed: Listeners) -> Self {
        Self {
            handed,
            bound: BTreeMap::new(),
        }
    }

    /// Follows the topology as it is now.
    pub(super) fn follow(&mut self, plan: &Plan, connectors: &SourceConnectors) {
        let mut wanted: BTreeMap<&str, &str> = plan
            .sources
            .iter()
            .filter_map(|source| Some((&*source.name, connectors.listens_on(source)?)))
            .collect();
        for (source, _) in self.handed.iter() {
            wanted.remove(source);
        }
        // What is not wanted is closed first: another source may listen on its address now.
        let is_wanted = |source: &str, address: &str| wanted.get(source) == Some(&address);
        self.bound
            .retain(|source, (address, _)| is_wanted(source, address));
        for (source, address) in wanted {
            if self.bound.contains_key(source) {
                continue;
            }
            match bind(address) {
                Ok(socket) => {
                    let (source, address) = (source.to_owned(), address.to_owned());
                    self.bound.insert(source, (address, socket));
                }
                Err(error) => debug!(source, address, "left to the job to bind: {error}"),
            }
        }
    }

    /// All of them, by source.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &TcpListener)> {
        let bound = self.bound.iter();
        let bound = bound.map(|(source, (_, socket))| (source.as_str(), socket));
        self.handed.iter().chain(bound)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use super::*;
    use crate::topology::{self, Options};

    /// A topology with a source that calls, and these, which listen.
    fn plan(listening: &[(&str, &str)]) -> Plan {
        let mut text = "[topology]\nbatch = \"1s\"\n".to_owned();
        for (name, address) in [("caller", "")].iter().chain(listening) {
            let keys = match *address {
                "" => "address = \"127.0.0.1:9\"".to_owned(),
                address => format!("mode = \"listen\"\naddress = \"{address}\""),
            };
            text += &format!(
                "[source.{name}]\ntype = \"socket\"\n{keys}\n\
                 [sink.of-{name}]\nfrom = \"{name}\"\ntype = \"print\"\n"
            );
        }
        let options = Options {
            environment: &|_| None,
            workers: 1,
            observe: &[],
        };
        let parsed = topology::parse(Path::new("t.toml"), &text, &options);
        parsed.unwrap().plan
    }

    fn addresses(sockets: &Sockets) -> BTreeMap<String, SocketAddr> {
        let address =
            |(name, socket): (&str, &TcpListener)| (name.to_owned(), socket.local_addr().unwrap());
        sockets.iter().map(address).collect()
    }

    #[test]
    fn sockets_follow_the_topology_and_those_that_stay_stay_the_same() {
        let connectors = SourceConnectors::default();
        let (any, other) = ("127.0.0.1:0", "localhost:0");
        let handed = bind(any).unwrap();
        let handed_at = handed.local_addr().unwrap();
        let mut listeners = Listeners::default();
        listeners.add("handed".to_owned(), handed.into()).unwrap();
        let mut sockets = Sockets::new(listeners);
        sockets.follow(
            &plan(&[("handed", any), ("a", any), ("b", any)]),
            &connectors,
        );
        let first = addresses(&sockets);
        assert_eq!(first.keys().collect::<Vec<_>>(), ["a", "b", "handed"]);
        assert_eq!(first["handed"], handed_at);
        // One goes, one stays, one listens elsewhere, one is new.
        sockets.follow(&plan(&[("a", any), ("b", other), ("c", any)]), &connectors);
        let second = addresses(&sockets);
        assert_eq!(second.keys().collect::<Vec<_>>(), ["a", "b", "c", "handed"]);
        assert_eq!((second["a"], second["handed"]), (first["a"], handed_at));
        assert_ne!(second["b"], first["b"]);
        // Another source takes the address over.
        let taken = second["a"].to_string();
        sockets.follow(&plan(&[("d", &taken)]), &connectors);
        assert_eq!(addresses(&sockets)["d"], second["a"]);
        // What another process has is left to the job.
        let alien = bind(any).unwrap();
        let address = alien.local_addr().unwrap().to_string();
        sockets.follow(&plan(&[("e", &address)]), &connectors);
        assert!(!addresses(&sockets).contains_key("e"));
    }
}
