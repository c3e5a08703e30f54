//! TCP: dshost connects, again and again, or listens for any number of clients.
//!
//! A connection reads only while there is room in the source's buffer, so a sender that is faster
//! than the job waits in its own `send`. An idle one holds no memory but its own few hundred
//! bytes. When the peer closes, what came last is a record without line end; when the connection
//! breaks, it is dropped and counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use super::OpenContext;
use super::bytes::intake::{Inlet, Intake, Received, Receiver};
use super::connector::{SourceConnector, keys};
use super::listeners::bind;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::position::{LaneName, Position};
use crate::batch::source::{Part, Source, SourceError};
use crate::topology::plan::SourcePlan;
use crate::topology::sources::{SocketKeys, SocketMode};

mod senders;
#[cfg(test)]
mod tests;

use senders::Senders;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The peer closed it.
    Closed,
    /// It broke.
    Broken(io::Error),
    /// The source was stopped.
    Stopped,
}

/// Opens `type = "socket"`.
pub(super) struct SocketConnector;

impl SourceConnector for SocketConnector {
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        let keys: &SocketKeys = keys(plan)?;
        Ok(Box::new(match keys.mode {
            SocketMode::Connect => connect(plan, keys, context)?,
            SocketMode::Listen => listen(plan, &keys.address, context)?,
        }))
    }

    fn listens_on<'a>(&self, plan: &'a SourcePlan) -> Option<&'a str> {
        let keys: &SocketKeys = plan.keys()?;
        (keys.mode == SocketMode::Listen).then_some(&keys.address)
    }

    fn guarantee(&self, plan: &SourcePlan) -> Guarantee {
        match plan.keys().is_some_and(|keys: &SocketKeys| keys.ack) {
            true => Guarantee {
                delivery: Delivery::ExactlyOnce,
                condition: "where senders go on behind the number that they are told",
            },
            false => Guarantee {
                delivery: Delivery::AtMostOnce,
                condition: "what was sent and not journaled when the process dies is lost, the rest counts once (`ack = true` lets senders go on)",
            },
        }
    }
}

/// The senders of a source that tells them what is durable; none: it tells nobody.
fn senders(plan: &SourcePlan, context: &OpenContext) -> Result<Option<Senders>, SourceError> {
    if !plan.keys().is_some_and(|keys: &SocketKeys| keys.ack) {
        return Ok(None);
    }
    if context.behind.is_none() {
        let source = &plan.name;
        return Err(SourceError::lasting(format!(
            "source `{source}` has `ack = true`, and nothing of the job survives its process"
        ))
        .hint("remove `checkpoint = false`, or `ack`"));
    }
    let behind = context.all_behind(&plan.name).unwrap_or_default();
    Senders::behind(behind).map(Some)
}

/// Connects to the address of `keys`, and after every end again, for ever; with `once` until the first
/// end.
///
/// # Errors
///
/// It cannot go on with its senders.
pub(super) fn connect(
    plan: &SourcePlan,
    keys: &SocketKeys,
    context: &OpenContext,
) -> Result<Received, SourceError> {
    let SocketKeys { address, retry, .. } = keys;
    let senders = senders(plan, context)?;
    let intake = Intake::new(plan);
    intake.set_state(format!("connecting to {address}"));
    let caller = Caller {
        source: plan.name.clone(),
        address: address.clone(),
        retry: *retry,
        senders: senders.clone(),
        once: context.once,
        intake: intake.clone(),
        incarnation: context.incarnation,
    };
    let task = context.runtime.spawn(caller.run());
    let task = Task {
        task: task.abort_handle(),
        senders,
    };
    Ok(Received::new(plan, intake, Box::new(task)))
}

/// Listens on `address`, or on the socket that listens for the source already.
///
/// # Errors
///
/// The address cannot be listened on, or `once` is asked for, which has no end here.
pub(super) fn listen(
    plan: &SourcePlan,
    address: &str,
    context: &OpenContext,
) -> Result<Received, SourceError> {
    let source = &plan.name;
    if context.once {
        return Err(SourceError::lasting(format!(
            "source `{source}` listens, so `--once` would never end"
        ))
        .hint("use `mode = \"connect\"`, or run without `--once`"));
    }
    let failed = |error: io::Error| SourceError {
        hint: listen_hint(&error),
        ..SourceError::lasting(format!(
            "source `{source}` cannot listen on `{address}`: {error}"
        ))
    };
    let senders = senders(plan, context)?;
    let handed = context.listeners.take_over(source).map_err(failed)?;
    let is_handed = handed.is_some();
    let listener = handed.map_or_else(|| bind(address), Ok).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let _runtime = context.runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;

    // Shown as it was given, whatever became of its host, unless the port was found.
    let shown = match local.port() {
        port if address.ends_with(&format!(":{port}")) => address.to_owned(),
        _ => local.to_string(),
    };
    if is_handed && shown != address && !address.ends_with(":0") {
        warn!(%source, address, "the socket that was handed over for the source listens elsewhere");
    }
    let intake = Intake::new(plan);
    intake.set_state(listening(&shown, 0));
    info!(%source, address = shown, "listening");
    let door = Door {
        source: source.clone(),
        shown,
        intake: intake.clone(),
        senders: senders.clone(),
        incarnation: context.incarnation,
    };
    let task = context.runtime.spawn(door.accept(listener));
    let task = Task {
        task: task.abort_handle(),
        senders,
    };
    Ok(Received::new(plan, intake, Box::new(task)))
}

fn listen_hint(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there, perhaps another dshost; stop it or take another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need rights; take a higher one",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; `0.0.0.0:PORT` is all that it has"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn listening(address: &str, clients: usize) -> String {
    match clients {
        1 => format!("listening on {address}, 1 client"),
        _ => format!("listening on {address}, {clients} clients"),
    }
}

/// The name of the lane of a start's connection with this number, from 1.
fn lane(incarnation: u64, connection: u64) -> String {
    format!("connection {incarnation}.{connection}")
}

/// A task that receives; its children end with it.
struct Task {
    task: AbortHandle,
    senders: Option<Senders>,
}

impl Receiver for Task {
    fn stop(&mut self) {
        self.task.abort();
    }

    fn cut(&mut self, parts: &[Part]) {
        if let Some(senders) = &self.senders {
            senders.cut(parts);
        }
    }

    fn durable(&mut self, upto: &[(LaneName, Position)]) {
        if let Some(senders) = &self.senders {
            senders.durable(upto);
        }
    }
}

/// What connects.
struct Caller {
    source: String,
    address: String,
    retry: Duration,
    once: bool,
    intake: Arc<Intake>,
    /// None: nobody is told what is durable.
    senders: Option<Senders>,
    incarnation: u64,
}

impl Caller {
    async fn run(self) {
        let (source, address) = (&self.source, &self.address);
        // What was said last: a line per change, not per attempt.
        let mut said = None;
        let mut connections = 0;
        loop {
            let (end, trouble) = match TcpStream::connect(address).await {
                Ok(stream) => {
                    info!(%source, %address, "connected");
                    said = None;
                    self.intake.set_state(format!("connected to {address}"));
                    connections += 1;
                    let end = match &self.senders {
                        Some(senders) => senders.serve(source, &stream, &self.intake).await,
                        None => {
                            let inlet = self.intake.open(lane(self.incarnation, connections));
                            receive(&stream, inlet).await
                        }
                    };
                    match end {
                        End::Stopped => return,
                        End::Closed => (true, "the peer closed the connection".to_owned()),
                        End::Broken(error) => (true, error.to_string()),
                    }
                }
                Err(error) => (false, refusal(&error)),
            };
            if end && self.once {
                info!(%source, %address, reason = trouble, "connection ended");
                self.intake.set_state(format!("ended: {trouble}"));
                self.intake.complete();
                return;
            }
            if said.as_ref() != Some(&trouble) {
                let retry = self.retry;
                warn!(%source, %address, reason = trouble, ?retry, "not connected, retrying");
                self.intake
                    .set_state(format!("retrying {address}: {trouble}"));
                said = Some(trouble);
            }
            tokio::time::sleep(self.retry).await;
        }
    }
}

/// Why there is no connection, and what the user can do.
fn refusal(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        "nothing listens there yet; start the sender (to try: `nc -lk PORT`)".to_owned()
    } else {
        error.to_string()
    }
}

/// What listens.
struct Door {
    source: String,
    /// The address, as it is shown.
    shown: String,
    intake: Arc<Intake>,
    /// None: nobody is told what is durable.
    senders: Option<Senders>,
    incarnation: u64,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let mut clients = JoinSet::new();
        let mut trouble = false;
        let mut connections = 0;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        trouble = false;
                        debug!(%peer, "client connected");
                        connections += 1;
                        let served = self.serve(stream, connections);
                        clients.spawn(async move {
                            let end = served.await;
                            debug!(%peer, ?end, "client gone");
                        });
                    }
                    Err(error) => {
                        if !trouble {
                            warn!(address = self.shown, %error, "cannot accept a client, trying again");
                            trouble = true;
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = clients.join_next() => {}
            }
            self.intake.set_state(listening(&self.shown, clients.len()));
        }
    }

    /// Serves the client of this number until its connection ends.
    fn serve(&self, stream: TcpStream, number: u64) -> impl Future<Output = End> + use<> {
        let inlet = match self.senders {
            None => Some(self.intake.open(lane(self.incarnation, number))),
            Some(_) => None,
        };
        let (senders, source) = (self.senders.clone(), self.source.clone());
        let intake = Arc::clone(&self.intake);
        async move {
            match (senders, inlet) {
                (Some(senders), _) => senders.serve(&source, &stream, &intake).await,
                (None, Some(inlet)) => receive(&stream, inlet).await,
                (None, None) => End::Stopped,
            }
        }
    }
}

/// Reads until the connection ends. Room is asked for only when there is something to read.
async fn receive(stream: &TcpStream, mut inlet: Inlet) -> End {
    loop {
        if let Err(error) = stream.readable().await {
            return End::Broken(error);
        }
        if inlet.room().await.is_err() {
            return End::Stopped;
        }
        match inlet.fill(|data| stream.try_read_buf(data)) {
            Some(Ok(0)) => {
                inlet.close();
                return End::Closed;
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => inlet.rest(),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Some(Err(error)) => return End::Broken(error),
            Some(Ok(_)) | None => {}
        }
        // A fast peer must not keep the others of this thread waiting.
        tokio::task::coop::consume_budget().await;
    }
}
