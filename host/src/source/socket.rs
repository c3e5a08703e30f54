//! TCP: dshost connects, again and again, or listens for any number of clients.
//!
//! A connection reads only while there is room in the source's buffer, so a sender that is faster
//! than the job waits in its own `send`. An idle one holds no memory but its own few hundred
//! bytes. When the peer closes, what came last is a record without line end; when the connection
//! breaks, it is dropped and counted.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use super::OpenContext;
use super::bytes::intake::{Inlet, Intake, Received, Receiver};
use super::connector::{SourceConnector, keys};
use crate::batch::source::{Source, SourceError};
use crate::topology::plan::SourcePlan;
use crate::topology::sources::{SocketKeys, SocketMode};

#[cfg(test)]
mod tests;

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
            SocketMode::Connect => connect(plan, &keys.address, keys.retry, context),
            SocketMode::Listen => listen(plan, &keys.address, context)?,
        }))
    }

    fn note(&self, _: &SourcePlan) -> Option<String> {
        Some("what was sent but not yet read when the process dies is lost".to_owned())
    }
}

/// Connects to `address`, and after every end again, for ever; with `once` until the first end.
#[must_use]
pub(super) fn connect(
    plan: &SourcePlan,
    address: &str,
    retry: Duration,
    context: &OpenContext,
) -> Received {
    let intake = Intake::new(plan);
    intake.set_state(format!("connecting to {address}"));
    let caller = Caller {
        source: plan.name.clone(),
        address: address.to_owned(),
        retry,
        once: context.once,
        intake: intake.clone(),
        incarnation: context.incarnation,
    };
    let task = context.runtime.spawn(caller.run());
    Received::new(plan, intake, Box::new(Task(task.abort_handle())))
}

/// Listens on `address`.
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
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let _runtime = context.runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;

    // Shown as it was given, whatever became of its host, unless the port was found.
    let shown = match local.port() {
        port if address.ends_with(&format!(":{port}")) => address.to_owned(),
        _ => local.to_string(),
    };
    let intake = Intake::new(plan);
    intake.set_state(listening(&shown, 0));
    info!(%source, address = shown, "listening");
    let task = context
        .runtime
        .spawn(accept(listener, shown, intake.clone(), context.incarnation));
    Ok(Received::new(
        plan,
        intake,
        Box::new(Task(task.abort_handle())),
    ))
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
struct Task(AbortHandle);

impl Receiver for Task {
    fn stop(&mut self) {
        self.0.abort();
    }
}

/// What connects.
struct Caller {
    source: String,
    address: String,
    retry: Duration,
    once: bool,
    intake: std::sync::Arc<Intake>,
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
                    let inlet = self.intake.open(lane(self.incarnation, connections));
                    match receive(&stream, inlet).await {
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

async fn accept(
    listener: TcpListener,
    shown: String,
    intake: std::sync::Arc<Intake>,
    incarnation: u64,
) {
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
                    let inlet = intake.open(lane(incarnation, connections));
                    clients.spawn(async move {
                        let end = receive(&stream, inlet).await;
                        debug!(%peer, ?end, "client gone");
                    });
                }
                Err(error) => {
                    if !trouble {
                        warn!(address = shown, %error, "cannot accept a client, trying again");
                        trouble = true;
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
        intake.set_state(listening(&shown, clients.len()));
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
